/* json_read.c: JSON text to values of jansson. Why not json_loadb: when the room for a token cannot grow it goes on as if it had, and
** reads beyond it. Here room for a token is asked for once, with the token's length known, and every refusal is an answer.
**
** Accepts what json_loadb does with JSON_REJECT_DUPLICATES: one object or array, UTF-8, no NUL in strings, whole numbers of 64 bits.
*/
#include "runtime/base/json_text.h"
#include "runtime/base/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 1024 };

typedef struct Text {
    const AdvAlloc *a;
    const char *from, *at, *end;
    AdvJsonError *err;
} Text;

static json_t *wrong(Text *t, const char *what)
{
    if (!t->err->what) *t->err = (AdvJsonError){.what = what, .at = (size_t)(t->at - t->from)};
    return NULL;
}

static json_t *no_memory(Text *t)
{
    wrong(t, "out of memory");
    t->err->is_memory = true;
    return NULL;
}

static void skip_space(Text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\n' || *t->at == '\r')) t->at++;
}

static bool next_is(Text *t, char c)
{
    skip_space(t);
    if (t->at == t->end || *t->at != c) return false;
    t->at++;
    return true;
}

/* ---- strings -------------------------------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at s, of n there are; 0: it is none. */
static size_t utf8_bytes(const unsigned char *s, size_t n)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    if (len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (len == 3 && ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F))) return 0; /* overlong; surrogates */
    if (len == 4 && ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))) return 0; /* overlong; beyond U+10FFFF */
    return len;
}

/* Four hexadecimal digits at `at`; -1: they are not. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t v = 0;
    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int32_t digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

static size_t put_utf8(char *to, int32_t c)
{
    if (c < 0x80) { to[0] = (char)c; return 1; }
    if (c < 0x800) { to[0] = (char)(0xC0 | c >> 6); to[1] = (char)(0x80 | (c & 0x3F)); return 2; }
    size_t n = c < 0x10000 ? 3 : 4;
    to[0] = (char)(n == 3 ? 0xE0 | c >> 12 : 0xF0 | c >> 18);
    for (size_t i = 1; i < n; i++) to[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3F));
    return n;
}

/* What the escape behind a backslash, at t->at, stands for, which is never longer than it; 0: it is none. */
static size_t escape(Text *t, char *to)
{
    static const char from[] = "\"\\/bfnrt", gives[] = "\"\\/\b\f\n\r\t";
    const char *k = t->at < t->end && *t->at ? strchr(from, *t->at) : NULL;
    if (k) {
        t->at++;
        *to = gives[k - from];
        return 1;
    }
    if (t->at == t->end || *t->at != 'u') return 0;
    int32_t c = hex4(t->at + 1, t->end);
    if (c <= 0 || (c >= 0xDC00 && c < 0xE000)) return 0;
    t->at += 5;
    if (c < 0xD800 || c >= 0xE000) return put_utf8(to, c);
    int32_t low = t->end - t->at >= 6 && t->at[0] == '\\' && t->at[1] == 'u' ? hex4(t->at + 2, t->end) : -1;
    if (low < 0xDC00 || low >= 0xE000) return 0;
    t->at += 6;
    return put_utf8(to, 0x10000 + (c - 0xD800) * 0x400 + (low - 0xDC00));
}

/* The string whose opening quote is at t->at: *out_room bytes of memory, *out_len of them text and a NUL behind it. */
static char *string(Text *t, size_t *out_len, size_t *out_room)
{
    const char *stop = ++t->at;
    while (stop < t->end && *stop != '"') {
        if (*stop == '\\' && stop + 1 < t->end) stop++;
        stop++;
    }
    if (stop == t->end) {
        wrong(t, "a string without an end");
        return NULL;
    }
    *out_room = (size_t)(stop - t->at) + 1;
    char *s = adv_mem_new(t->a, *out_room);
    size_t n = 0, len;
    if (!s) {
        no_memory(t);
        return NULL;
    }
    while (t->at < stop) {
        if (*t->at == '\\') {
            t->at++;
            len = escape(t, s + n);
        } else {
            len = (unsigned char)*t->at < 0x20 ? 0 : utf8_bytes((const unsigned char *)t->at, (size_t)(stop - t->at));
            memcpy(s + n, t->at, len);
            t->at += len;
        }
        if (!len) {
            adv_mem_free(t->a, s, *out_room);
            wrong(t, "a character or an escape that a string may not have");
            return NULL;
        }
        n += len;
    }
    t->at = stop + 1;
    s[n] = 0;
    *out_len = n;
    return s;
}

static json_t *string_value(Text *t)
{
    size_t len, room;
    char *s = string(t, &len, &room);
    if (!s) return NULL;
    json_t *j = json_stringn_nocheck(s, len);
    adv_mem_free(t->a, s, room);
    return j ? j : no_memory(t);
}

/* ---- numbers -------------------------------------------------------------------------------------------------------------- */

static const char *digits(const char *s, const char *end)
{
    while (s < end && *s >= '0' && *s <= '9') s++;
    return s;
}

/* The end of the number at t->at, and whether it is a whole one; NULL: it is none. */
static const char *number_end(const Text *t, bool *out_is_whole)
{
    const char *s = t->at + (*t->at == '-'), *first = s;
    s = digits(s, t->end);
    if (s == first || (*first == '0' && s - first > 1)) return NULL;
    *out_is_whole = true;
    if (s < t->end && *s == '.') {
        const char *from = ++s;
        *out_is_whole = false;
        if ((s = digits(s, t->end)) == from) return NULL;
    }
    if (s < t->end && (*s == 'e' || *s == 'E')) {
        s++;
        if (s < t->end && (*s == '+' || *s == '-')) s++;
        const char *from = s;
        *out_is_whole = false;
        if ((s = digits(s, t->end)) == from) return NULL;
    }
    return s;
}

static json_t *number(Text *t)
{
    bool is_whole = false;
    const char *stop = number_end(t, &is_whole);
    if (!stop) return wrong(t, "not a number");
    size_t n = (size_t)(stop - t->at);
    char *s = adv_mem_new(t->a, n + 1 + ADV_POINT_BYTES);
    if (!s) return no_memory(t);
    memcpy(s, t->at, n);
    s[n] = 0;
    errno = 0;
    json_int_t whole = is_whole ? strtoll(s, NULL, 10) : 0;
    double real = is_whole ? 0 : adv_number_read(s, NULL);
    adv_mem_free(t->a, s, n + 1 + ADV_POINT_BYTES);
    if (is_whole ? errno == ERANGE : real - real != 0) return wrong(t, "a number that is too large");
    json_t *j = is_whole ? json_integer(whole) : json_real(real);
    if (!j) return no_memory(t);
    t->at = stop;
    return j;
}

/* ---- values --------------------------------------------------------------------------------------------------------------- */

static json_t *value(Text *t, int depth);

static json_t *array(Text *t, int depth)
{
    json_t *list = json_array();
    if (!list) return no_memory(t);
    t->at++;
    if (next_is(t, ']')) return list;
    for (;;) {
        json_t *v = value(t, depth);
        if (v && json_array_append_new(list, v)) v = no_memory(t);
        if (v && next_is(t, ']')) return list;
        if (!v || !next_is(t, ',')) {
            wrong(t, "`,` or `]` expected");
            json_decref(list);
            return NULL;
        }
    }
}

/* One `"key": value` into o. */
static bool member(Text *t, json_t *o, int depth)
{
    size_t len, room;
    skip_space(t);
    if (t->at == t->end || *t->at != '"') {
        wrong(t, "a key expected");
        return false;
    }
    char *key = string(t, &len, &room);
    if (!key) return false;
    json_t *v = NULL;
    if (json_object_get(o, key)) wrong(t, "a duplicate key");
    else if (!next_is(t, ':')) wrong(t, "`:` expected");
    else v = value(t, depth);
    if (v && json_object_set_new_nocheck(o, key, v)) v = no_memory(t);
    adv_mem_free(t->a, key, room);
    return v != NULL;
}

static json_t *object(Text *t, int depth)
{
    json_t *o = json_object();
    if (!o) return no_memory(t);
    t->at++;
    if (next_is(t, '}')) return o;
    for (;;) {
        bool is_good = member(t, o, depth);
        if (is_good && next_is(t, '}')) return o;
        if (!is_good || !next_is(t, ',')) {
            wrong(t, "`,` or `}` expected");
            json_decref(o);
            return NULL;
        }
    }
}

static json_t *word(Text *t, const char *text, json_t *j)
{
    size_t n = strlen(text);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, text, n)) return wrong(t, "a value expected");
    t->at += n;
    return j;
}

static json_t *value(Text *t, int depth)
{
    skip_space(t);
    if (t->at == t->end) return wrong(t, "the text ends early");
    if (depth == MAX_DEPTH) return wrong(t, "nested too deeply");
    switch (*t->at) {
    case '{': return object(t, depth + 1);
    case '[': return array(t, depth + 1);
    case '"': return string_value(t);
    case 't': return word(t, "true", json_true());
    case 'f': return word(t, "false", json_false());
    case 'n': return word(t, "null", json_null());
    default: return number(t);
    }
}

json_t *adv_json_read(const AdvAlloc *a, const char *text, size_t n_bytes, AdvJsonError *out_err)
{
    Text t = {a, text, text, text + n_bytes, out_err};
    *out_err = (AdvJsonError){.what = NULL};
    skip_space(&t);
    if (t.at == t.end || (*t.at != '{' && *t.at != '[')) return wrong(&t, "`{` or `[` expected");
    json_t *j = value(&t, 0);
    skip_space(&t);
    if (j && t.at != t.end) {
        json_decref(j);
        j = wrong(&t, "more behind the end");
    }
    return j;
}
