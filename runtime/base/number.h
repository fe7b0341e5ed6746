/* number.h: numbers in text that programs read, always with a point: printf and strtod take what the locale of the host program has
** there, which is a comma in half of Europe. Text for people may use printf.
*/
#ifndef ADV_BASE_NUMBER_H
#define ADV_BASE_NUMBER_H

/* A number as text; cut where it would take more. Used as adv_number_text(x, 9).at within one expression. */
typedef struct AdvNumber { char at[48]; } AdvNumber;

/* As printf writes it by "%.*g", "%.*f" and "%a". */
AdvNumber adv_number_text(double x, int digits);
AdvNumber adv_number_fixed(double x, int decimals);
AdvNumber adv_number_hex(double x);

/* What strtod makes of a text with a point, where the locale's is written over it: behind the text's NUL are ADV_POINT_BYTES of room. */
#define ADV_POINT_BYTES 16
double adv_number_read(char *text, char **out_end);

#endif
