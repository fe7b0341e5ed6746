/* words.h: a mutator for texts made of lines and words: most changes keep the shape of a recipe, so that the checker behind
** the parser is reached.
*/
#ifndef ADV_TESTS_FUZZ_WORDS_H
#define ADV_TESTS_FUZZ_WORDS_H

#include "tests/fuzz/fuzz.h"

/* [from, to) of data becomes `with`; the new size, or the old one where there is no room. */
static inline size_t fuzz_splice(uint8_t *data, size_t size, size_t max_size, size_t from, size_t to, const void *with, size_t n)
{
    if (size - (to - from) + n > max_size) return size;
    memmove(data + from + n, data + to, size - to);
    memcpy(data + from, with, n);
    return size - (to - from) + n;
}

static inline int fuzz_is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* A word of the text from a random place on; from == to where there is none. */
static inline void fuzz_word(FuzzRng *r, const uint8_t *data, size_t size, size_t *from, size_t *to)
{
    size_t at = size ? fuzz_rng(r, (uint32_t)size) : 0;
    while (at < size && !fuzz_is_word(data[at])) at++;
    while (at > 0 && at < size && fuzz_is_word(data[at - 1])) at--;
    *from = *to = at;
    while (*to < size && fuzz_is_word(data[*to])) ++*to;
}

static inline void fuzz_line(FuzzRng *r, const uint8_t *data, size_t size, size_t *from, size_t *to)
{
    size_t at = size ? fuzz_rng(r, (uint32_t)size) : 0;
    while (at > 0 && data[at - 1] != '\n') at--;
    *from = *to = at;
    while (*to < size && data[*to] != '\n') ++*to;
    if (*to < size) ++*to;
}

/* One change: a word for another (of the list, or of the text), a line lost, doubled or moved, a word added, or bytes. */
static inline size_t fuzz_text_change(uint8_t *data, size_t size, size_t max_size, const char *const *words, uint32_t n_words, FuzzRng *r)
{
    static char piece[4096];
    size_t from, to, n, at;
    const char *w = words[fuzz_rng(r, n_words)];
    switch (fuzz_rng(r, 8)) {
    case 0: case 1:
        fuzz_word(r, data, size, &from, &to);
        return fuzz_splice(data, size, max_size, from, to, w, strlen(w));
    case 2: case 3:
        fuzz_word(r, data, size, &from, &to);
        n = to - from < sizeof piece ? to - from : sizeof piece;
        memcpy(piece, data + from, n);
        fuzz_word(r, data, size, &from, &to);
        return fuzz_splice(data, size, max_size, from, to, piece, n);
    case 4:
        fuzz_line(r, data, size, &from, &to);
        return fuzz_splice(data, size, max_size, from, to, "", 0);
    case 5:
        fuzz_line(r, data, size, &from, &to);
        n = to - from < sizeof piece ? to - from : sizeof piece;
        memcpy(piece, data + from, n);
        fuzz_line(r, data, size, &at, &to);
        return fuzz_splice(data, size, max_size, at, at, piece, n);
    case 6:
        fuzz_word(r, data, size, &from, &to);
        return fuzz_splice(data, size, max_size, to, to, w, strlen(w));
    default: return LLVMFuzzerMutate(data, size, max_size);
    }
}

static inline size_t fuzz_text(uint8_t *data, size_t size, size_t max_size, const char *const *words, uint32_t n_words, unsigned seed)
{
    FuzzRng r = {seed};
    for (uint32_t n = 1 + fuzz_rng(&r, 3); n; n--) size = fuzz_text_change(data, size, max_size, words, n_words, &r);
    return size;
}

/* Words of recipes: what names cannot be learnt from the texts of the corpus alone. */
static const char *const fuzz_recipe_words[] = {
    "use", "param", "net", "fn", "loss", "attack", "model", "optim", "signal", "state", "data", "budget", "step", "phase", "train",
    "eval", "run", "epoch", "carry", "return", "within", "touch", "minimize", "maximize", "apply", "repeat", "replay", "with", "over",
    "to", "as", "in", "if", " then ", " else ", " and ", " or ", "not ", "x", "y", "id", "f", "f.eval", "f.train", "once", "sample",
    "batch", "class", "eps", "0", "1", "-1", "2", "0.5", "1e308", "9223372036854775807", "1048576", "1000000000", "8/255", "\"s\"",
    " + ", " - ", " * ", " / ", " ^ ", " == ", " < ", " <- ", " -> ", " => ", " || ", " .. ", " = ", "(", ")", "[", "]", "{\n", "}\n",
    ", ", ": ", ".", "; ", "\n", "# c\n", "ce", "kl", "softmax", "mean", "sum", "max", "min", "abs", "sign", "sqrt", "log", "exp",
    "clip", "stop_grad", "grad", "normal", "uniform", "where", "copy", "argmax", "pick", "flatten", "conv", "linear", "relu", "bn",
    "max_pool", "global_pool", "linf", "l2", "pgd", "fgsm", "clean", "rows = ", "worst", "shared = ", "per_class", "ema", "sgd", "adam",
};
#define FUZZ_RECIPE_WORDS (sizeof fuzz_recipe_words / sizeof *fuzz_recipe_words)

#endif
