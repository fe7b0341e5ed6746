/* sha256.h: SHA-256 (FIPS 180-4), by which a plan knows the plugins it was made with.
**
** Small and our own, because everything that embeds the runtime would otherwise need a library for these few lines; advdata,
** a program, uses libmd. Tested against the standard's vectors and against libmd.
*/
#ifndef ADV_BASE_SHA256_H
#define ADV_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define ADV_SHA256_BYTES 32

/* The digest of data[0..n_bytes). */
void adv_sha256(const void *data, uint64_t n_bytes, uint8_t out[ADV_SHA256_BYTES]);

/* 64 hexadecimal digits and a NUL. */
#define ADV_SHA256_TEXT 65
void adv_sha256_text(const uint8_t digest[ADV_SHA256_BYTES], char text[ADV_SHA256_TEXT]);

#endif
