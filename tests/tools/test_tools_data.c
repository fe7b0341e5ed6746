/* test_tools_data.c: the readers and the way to a decoded container, on tiny files that the test makes: right ones, and wrong
** counts, sizes, labels, digests, every truncation, flipped bytes; lack of memory.
*/
#include "tests/adv_test.h"
#include "tests/base/fault_alloc.h"
#include "tests/base/scratch.h"
#include "tools/data/data.h"

#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <spng.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

/* Two sets: grey images for IDX, colour images for the others. 5 training samples in two files of 3 and 2, and 2 test ones. */
enum { GREY, COLOR };
static const DataSetDef sets[] = {
    {"grey", "grey", 4, 2, 3, 1, 5, 2, "", ""},
    {"color", "color", 4, 2, 2, 3, 5, 2, "", "a b c d"},
};
enum { GREY_IDX, COLOR_BIN, COLOR_PNG };
static const DataFormDef forms[] = {
    {"grey", DATA_PUBLISHER, "", 0, "", "", ""},
    {"color", DATA_PUBLISHER, "color.tar.gz", 0, "", "", ""},
    {"color", DATA_PACKAGE, "color.tgz", 0, "", "", ""},
};
enum { G_X1, G_X2, G_Y, G_TX, G_TY, B_1, B_2, B_T, P_1, P_2, P_Y, P_T, P_TY, N_FILES };
static const DataFileDef files[N_FILES] = {
    [G_X1] = {GREY_IDX, "x1", DATA_TRAIN_X, data_read_idx, 3, 0, ""},
    [G_X2] = {GREY_IDX, "x2.gz", DATA_TRAIN_X, data_read_idx, 2, 0, ""},
    [G_Y] = {GREY_IDX, "y.gz", DATA_TRAIN_Y, data_read_idx, 5, 0, ""},
    [G_TX] = {GREY_IDX, "tx", DATA_TEST_X, data_read_idx, 2, 0, ""},
    [G_TY] = {GREY_IDX, "ty", DATA_TEST_Y, data_read_idx, 2, 0, ""},
    [B_1] = {COLOR_BIN, "1.bin", DATA_TRAIN_XY, data_read_cifar10_bin, 3, 0, ""},
    [B_2] = {COLOR_BIN, "2.bin", DATA_TRAIN_XY, data_read_cifar100_bin, 2, 0, ""},
    [B_T] = {COLOR_BIN, "t.bin", DATA_TEST_XY, data_read_cifar10_bin, 2, 0, ""},
    [P_1] = {COLOR_PNG, "1.png", DATA_TRAIN_X, data_read_png_rows, 3, 0, ""},
    [P_2] = {COLOR_PNG, "2.png", DATA_TRAIN_X, data_read_png_rows, 2, 0, ""},
    [P_Y] = {COLOR_PNG, "y.json", DATA_TRAIN_Y, data_read_json_labels, 5, 0, ""},
    [P_T] = {COLOR_PNG, "t.png", DATA_TEST_X, data_read_png_rows, 2, 0, ""},
    [P_TY] = {COLOR_PNG, "ty.json", DATA_TEST_Y, data_read_json_labels, 2, 0, ""},
};
static const DataTable table = {sets, 2, forms, 3, files, N_FILES};

/* The truth: pixel of sample i (test samples from 5), and its label. */
static uint8_t pixel(uint32_t i, uint32_t p) { return (uint8_t)(i * 37 + p * 5 + 1); }
static int32_t label(uint32_t i) { return (int32_t)(i * 3 % 4); }

typedef struct Bytes {
    unsigned char at[4096];
    size_t n;
} Bytes;

static void add(Bytes *b, const void *p, size_t n)
{
    bool fits = n <= sizeof b->at - b->n;
    CHECK(fits);
    if (!fits) return;
    memcpy(b->at + b->n, p, n);
    b->n += n;
}

static void add_u8(Bytes *b, uint32_t v) { add(b, &(unsigned char){(unsigned char)v}, 1); }

static void add_be(Bytes *b, uint32_t v)
{
    for (int s = 24; s >= 0; s -= 8) add_u8(b, v >> s);
}

static Bytes idx_images(uint32_t from, uint32_t n)
{
    Bytes b = {.n = 0};
    add_be(&b, 0x803);
    add_be(&b, n);
    add_be(&b, 2);
    add_be(&b, 3);
    for (uint32_t i = 0; i < n * 6; i++) add_u8(&b, pixel(from + i / 6, i % 6));
    return b;
}

static Bytes idx_labels(uint32_t from, uint32_t n)
{
    Bytes b = {.n = 0};
    add_be(&b, 0x801);
    add_be(&b, n);
    for (uint32_t i = 0; i < n; i++) add_u8(&b, (uint32_t)label(from + i));
    return b;
}

static Bytes gzipped(const Bytes *in)
{
    Bytes out = {.n = 0};
    z_stream z = {0};
    CHECK(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in->at;
    z.avail_in = (uInt)in->n;
    z.next_out = out.at;
    z.avail_out = sizeof out.at;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out.n = z.total_out;
    deflateEnd(&z);
    return out;
}

static Bytes records(uint32_t from, uint32_t n, int is_100)
{
    Bytes b = {.n = 0};
    for (uint32_t i = 0; i < n; i++) {
        if (is_100) add_u8(&b, 99); /* the coarse label is not read */
        add_u8(&b, (uint32_t)label(from + i));
        for (uint32_t c = 0; c < 3; c++)
            for (uint32_t p = 0; p < 4; p++) add_u8(&b, pixel(from + i, p * 3 + c));
    }
    return b;
}

static Bytes png(uint32_t from, uint32_t n, uint32_t width, int color_type)
{
    Bytes b = {.n = 0};
    uint8_t x[256];
    uint32_t row = width * (color_type == SPNG_COLOR_TYPE_TRUECOLOR ? 3 : 1);
    for (uint32_t i = 0; i < n * row; i++) x[i] = pixel(from + i / row, i % row);
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr h = {.width = width, .height = n, .bit_depth = 8, .color_type = (uint8_t)color_type};
    CHECK(spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1) == 0 && spng_set_ihdr(ctx, &h) == 0);
    CHECK(spng_encode_image(ctx, x, (size_t)n * row, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE) == 0);
    size_t size;
    int err;
    void *buf = spng_get_png_buffer(ctx, &size, &err);
    CHECK(buf && !err);
    if (buf) add(&b, buf, size);
    free(buf);
    spng_ctx_free(ctx);
    return b;
}

static Bytes text(const char *s)
{
    Bytes b = {.n = 0};
    add(&b, s, strlen(s));
    return b;
}

static Bytes right_file(int i)
{
    Bytes b = {.n = 0};
    switch (i) {
    case G_X1: return idx_images(0, 3);
    case G_X2: b = idx_images(3, 2); return gzipped(&b);
    case G_Y: b = idx_labels(0, 5); return gzipped(&b);
    case G_TX: return idx_images(5, 2);
    case G_TY: return idx_labels(5, 2);
    case B_1: return records(0, 3, 0);
    case B_2: return records(3, 2, 1);
    case B_T: return records(5, 2, 0);
    case P_1: return png(0, 3, 4, SPNG_COLOR_TYPE_TRUECOLOR);
    case P_2: return png(3, 2, 4, SPNG_COLOR_TYPE_TRUECOLOR);
    case P_T: return png(5, 2, 4, SPNG_COLOR_TYPE_TRUECOLOR);
    case P_Y: return text("[0, 3, 2, 1, 0]");
    case P_TY: return text("[3,2]\n");
    default: CHECK(!"a file"); return b;
    }
}

static void no_say(void *user, const char *line)
{
    (void)user;
    (void)line;
}

static DataCtx context(AdvDiags *ds)
{
    return (DataCtx){.alloc = adv_alloc_default(), .ds = ds, .say = no_say};
}

/* Is everything decoded as it should be? */
static int is_right(const DataDecoded *d)
{
    const uint32_t image = (uint32_t)data_image_bytes(d->set);
    int right = 1;
    for (uint32_t i = 0; i < 7; i++) {
        const DataRows *r = i < 5 ? &d->train : &d->test;
        uint32_t at = i < 5 ? i : i - 5;
        right &= r->y[at] == label(i);
        for (uint32_t p = 0; p < image; p++) right &= r->x[at * image + p] == pixel(i, p);
    }
    return right;
}

/* Puts a copy in a block of its own size, so that AddressSanitizer sees a byte too far. */
static void put_file(const DataCtx *ctx, DataFiles *f, int file, const Bytes *b)
{
    for (uint32_t i = 0; i < f->n; i++) {
        DataBlob *blob = &f->at[i];
        if (blob->def != &files[file]) continue;
        blob->n_allocated = b->n + 1;
        blob->n_bytes = b->n;
        blob->bytes = adv_mem_new(&ctx->alloc, b->n + 1);
        memcpy(blob->bytes, b->at, b->n);
    }
}

/* Decodes a form with `file` replaced; says how it ended, the message in `out`. */
static AdvStatus decode_with(int first, int last, int file, const Bytes *instead, char out[512], int *out_right)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    DataCtx ctx = context(ds);
    const DataSetDef *set = &sets[first == G_X1 ? GREY : COLOR];
    DataFiles f;
    DataDecoded d;
    CHECK_EQ(data_files_init(&ctx, &table, set, &f), ADV_OK);
    for (int i = first; i <= last; i++) {
        Bytes right = right_file(i);
        put_file(&ctx, &f, i, i == file ? instead : &right);
    }
    AdvStatus st = data_decode(&ctx, &table, set, &f, &d);
    *out_right = st == ADV_OK && is_right(&d);
    snprintf(out, 512, "%s", ds->list.n ? ds->list.at[0]->message : "");
    CHECK_EQ(ds->n_errors, st != ADV_OK);
    data_decoded_fini(&ctx, &d);
    data_files_fini(&ctx, &f);
    adv_diags_free(ds);
    return st;
}

static void form_of(int file, int *first, int *last)
{
    *first = file <= G_TY ? G_X1 : file <= B_T ? B_1 : P_1;
    *last = file <= G_TY ? G_TY : file <= B_T ? B_T : P_TY;
}

static void right_files_decode(void)
{
    static const int any_of_form[] = {G_X1, B_1, P_1};
    for (int i = 0; i < 3; i++) {
        char says[512];
        int first, last, right;
        form_of(any_of_form[i], &first, &last);
        CHECK_EQ(decode_with(first, last, -1, NULL, says, &right), ADV_OK);
        CHECK(right);
        CHECK_STR(says, "");
    }
}

/* Cut anywhere: refused, in every format. */
static void every_truncation_is_refused(void)
{
    for (int file = 0; file < N_FILES; file++) {
        Bytes whole = right_file(file);
        int first, last, right, n_accepted = 0;
        char says[512];
        form_of(file, &first, &last);
        size_t content = whole.n;
        if (file == P_TY) content--; /* ends in a newline */
        for (size_t cut = 0; cut < content; cut++) {
            Bytes part = whole;
            part.n = cut;
            n_accepted += decode_with(first, last, file, &part, says, &right) != ADV_EDATA;
        }
        if (n_accepted) printf("%s: %d truncations accepted\n", files[file].name, n_accepted);
        CHECK_EQ(n_accepted, 0);
    }
}

/* A flipped bit never crashes; in a format with checksums (gzip, PNG) it is refused or harmless. */
static void flipped_bits(void)
{
    for (int file = 0; file < N_FILES; file++) {
        Bytes b = right_file(file);
        int first, last, right, n_wrong = 0;
        char says[512];
        form_of(file, &first, &last);
        int has_checksum = file == G_X2 || file == G_Y || file == P_1 || file == P_2 || file == P_T;
        for (size_t i = 0; i < b.n * 8; i++) {
            b.at[i / 8] ^= (unsigned char)(1u << i % 8);
            AdvStatus st = decode_with(first, last, file, &b, says, &right);
            n_wrong += st != ADV_EDATA && !(st == ADV_OK && (right || !has_checksum));
            b.at[i / 8] ^= (unsigned char)(1u << i % 8);
        }
        CHECK_EQ(n_wrong, 0);
    }
}

static void wrong_files_say_why(void)
{
    Bytes count = idx_images(0, 4), size = idx_images(0, 3), magic = idx_labels(0, 5), longer = idx_images(0, 3),
          label_high = idx_labels(5, 2);
    size.at[11] = 3;
    add_u8(&longer, 0);
    label_high.at[9] = 4;
    Bytes gz_label = idx_labels(0, 5);
    gz_label.at[10] = 200;
    gz_label = gzipped(&gz_label);
    Bytes gz_long = idx_images(3, 3), gz_tail = right_file(G_X2);
    gz_long = gzipped(&gz_long);
    add_u8(&gz_tail, 0);
    Bytes bin_label = records(0, 3, 0), bin_long = records(0, 4, 0);
    bin_label.at[13] = 255;
    Bytes png_rows = png(0, 4, 4, SPNG_COLOR_TYPE_TRUECOLOR), png_wide = png(0, 3, 5, SPNG_COLOR_TYPE_TRUECOLOR),
          png_grey = png(0, 3, 4, SPNG_COLOR_TYPE_GRAYSCALE);
    Bytes no_png = text("<html>not a picture</html>");
    Bytes js_few = text("[0,3,2,1]"), js_high = text("[0,3,2,1,4]"), js_neg = text("[0,-1,2,1,0]"), js_huge = text("[0,3,2,1,4294967296]");
    Bytes js_real = text("[0,3,2,1,0.0]"), js_object = text("{}"), js_bad = text("[0,3,2,1,0");
    const struct { int file; const Bytes *instead; const char *says; } rows[] = {
        {G_X1, &count, "`x1` holds 4 images, expected 3"},
        {G_X1, &size, "`x1` holds images of 3x3, expected 2x3"},
        {G_X1, &magic, "`x1` has 13 bytes, expected 34"},
        {G_Y, &count, "`y.gz` is no IDX file of labels: it begins with 00000803, not 00000801"},
        {G_X1, &longer, "`x1` has 35 bytes, expected 34"},
        {G_TY, &label_high, "`ty`: label 1 is 4, but there are the classes 0 to 3"},
        {G_Y, &gz_label, "`y.gz`: label 2 is 200, but there are the classes 0 to 3"},
        {G_X2, &gz_long, "holds more than it should"},
        {G_X2, &gz_tail, "something follows the gzip data"},
        {G_X2, &gz_label, "holds less than it should"},
        {B_1, &bin_label, "`1.bin`: label 1 is 255, but there are the classes 0 to 3"},
        {B_1, &bin_long, "`1.bin` has 52 bytes: 3 records of 13 bytes were expected, which is 39"},
        {P_1, &png_rows, "`1.png` has 4 rows of 4 pixels, expected 3 rows (one an image) of 4"},
        {P_1, &png_wide, "`1.png` has 3 rows of 5 pixels, expected 3 rows (one an image) of 4"},
        {P_1, &png_grey, "`1.png` must have 8 bits of red, green and blue a pixel"},
        {P_1, &no_png, "`1.png` is no sound PNG file"},
        {P_Y, &js_few, "`y.json` holds 4 labels, expected 5"},
        {P_Y, &js_object, "`y.json` holds 0 labels, expected 5"},
        {P_Y, &js_high, "`y.json`: label 4 is 4, but there are the classes 0 to 3"},
        {P_Y, &js_neg, "`y.json`: label 1 is -1, but"},
        {P_Y, &js_huge, "`y.json`: label 4 is 2147483647, but"},
        {P_Y, &js_real, "`y.json`: label 4 is not a whole number"},
        {P_Y, &js_bad, "`y.json` is not valid JSON"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char says[512];
        int first, last, right;
        form_of(rows[i].file, &first, &last);
        CHECK_EQ(decode_with(first, last, rows[i].file, rows[i].instead, says, &right), ADV_EDATA);
        if (!strstr(says, rows[i].says)) CHECK_STR(says, rows[i].says);
    }
}

static void missing_files(void)
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    DataCtx ctx = context(ds);
    DataFiles f;
    DataDecoded d;
    CHECK_EQ(data_files_init(&ctx, &table, &sets[COLOR], &f), ADV_OK);
    CHECK_EQ(f.n, 8);
    CHECK_EQ(data_decode(&ctx, &table, &sets[COLOR], &f, &d), ADV_ENOENT);
    Bytes b = right_file(P_1), one = right_file(B_1), two = right_file(B_2);
    put_file(&ctx, &f, P_1, &b);
    put_file(&ctx, &f, B_1, &one);
    put_file(&ctx, &f, B_2, &two);
    CHECK_EQ(data_decode(&ctx, &table, &sets[COLOR], &f, &d), ADV_ENOENT);
    CHECK_EQ(ds->list.n, 2);
    CHECK_STR(ds->list.at[0]->message, "none of the files of `color` is there, e.g. `1.bin`");
    CHECK_STR(ds->list.at[1]->message, "`t.bin` is missing beside the other files of `color`"); /* the most complete form */
    CHECK(data_find(&ctx, &table, "colour") == NULL);
    CHECK_STR(ds->list.at[2]->message, "there is no data set `colour`");
    CHECK(ds->list.at[2]->helps.n == 1);
    CHECK(data_find(&ctx, &table, "grey") == &sets[GREY]);
    data_files_fini(&ctx, &f);
    adv_diags_free(ds);
}

/* Sizes, digests of files and of the content, all through a table that names them. */
static void digests_are_checked(void)
{
    Bytes all[5];
    DataFileDef named[5];
    char hex[5][65];
    for (int i = G_X1; i <= G_TY; i++) {
        all[i] = right_file(i);
        data_sha256(all[i].at, all[i].n, hex[i]);
        named[i] = files[i];
        named[i].n_bytes = all[i].n;
        named[i].sha256 = hex[i];
    }
    for (int wrong = 0; wrong < 4; wrong++) {
        DataSetDef set = sets[GREY];
        AdvDiags *ds = adv_diags_new(adv_alloc_default());
        DataCtx ctx = context(ds);
        if (wrong == 3) set.content_sha256 = "0000";
        const DataTable t = {&set, 1, forms, 1, named, 5};
        DataFiles f;
        DataDecoded d;
        CHECK_EQ(data_files_init(&ctx, &t, &set, &f), ADV_OK);
        for (int i = 0; i < 5; i++) {
            Bytes b = all[i];
            if (i == G_TX && wrong == 1) b.at[20] ^= 1;
            if (i == G_TX && wrong == 2) b = text("<!DOCTYPE html>");
            f.at[i].bytes = adv_mem_new(&ctx.alloc, b.n);
            memcpy(f.at[i].bytes, b.at, b.n);
            f.at[i].n_bytes = f.at[i].n_allocated = b.n;
        }
        CHECK_EQ(data_decode(&ctx, &t, &set, &f, &d), wrong ? ADV_EDATA : ADV_OK);
        static const char *const says[] = {"", "`tx` is not the published file: its SHA-256 is",
                                           "`tx` is not the published file: it has 15 bytes, expected 28",
                                           "the decoded content of `grey` is not the published one"};
        CHECK(strstr(ds->list.n ? ds->list.at[0]->message : "", says[wrong]) != NULL);
        if (wrong == 2) CHECK_EQ(ds->list.at[0]->notes.n, 1); /* it begins with `<` */
        data_decoded_fini(&ctx, &d);
        data_files_fini(&ctx, &f);
        adv_diags_free(ds);
    }
}

static void write_archive(const char *path, int first, int last)
{
    struct archive *a = archive_write_new();
    archive_write_add_filter_gzip(a);
    archive_write_set_format_ustar(a);
    CHECK(archive_write_open_filename(a, path) == ARCHIVE_OK);
    for (int i = first; i <= last; i++) {
        Bytes b = right_file(i);
        char name[64];
        snprintf(name, sizeof name, i % 2 ? "package/../x/%s" : "%s", files[i].name);
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, name);
        archive_entry_set_size(e, (la_int64_t)b.n);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        CHECK(archive_write_header(a, e) == ARCHIVE_OK && archive_write_data(a, b.at, b.n) == (la_ssize_t)b.n);
        archive_entry_free(e);
    }
    CHECK(archive_write_free(a) == ARCHIVE_OK);
}

static char folder[64];

static const char *in_folder(char buf[256], const char *name)
{
    snprintf(buf, 256, "%s/%s", folder, name);
    return buf;
}

/* Gathers from `path` and decodes. */
static AdvStatus gather_and_decode(const char *path, int set, int *out_right)
{
    DataCtx ctx = context(NULL);
    DataFiles f;
    DataDecoded d = {0};
    CHECK_EQ(data_files_init(&ctx, &table, &sets[set], &f), ADV_OK);
    AdvStatus st = data_gather(&ctx, &table, &sets[set], path, &f);
    if (st == ADV_OK) st = data_decode(&ctx, &table, &sets[set], &f, &d);
    *out_right = st == ADV_OK && is_right(&d);
    data_decoded_fini(&ctx, &d);
    data_files_fini(&ctx, &f);
    return st;
}

static void folders_and_archives(void)
{
    char path[256];
    int right;
    AdvAlloc a = adv_alloc_default();
    CHECK_EQ(gather_and_decode(folder, COLOR, &right), ADV_ENOENT);
    CHECK_EQ(gather_and_decode(in_folder(path, "nothing"), COLOR, &right), ADV_ENOENT);
    for (int i = G_X1; i <= G_TY; i++) {
        Bytes b = right_file(i);
        CHECK_EQ(adv_write_file(NULL, &a, in_folder(path, files[i].name), b.at, b.n, NULL), ADV_OK);
    }
    CHECK_EQ(gather_and_decode(folder, GREY, &right), ADV_OK);
    CHECK(right);
    for (int i = G_X1; i <= G_TY; i++) CHECK_EQ(unlink(in_folder(path, files[i].name)), 0);

    write_archive(in_folder(path, "color.tgz"), P_1, P_TY);
    CHECK_EQ(gather_and_decode(path, COLOR, &right), ADV_OK);
    CHECK(right);
    CHECK_EQ(gather_and_decode(folder, COLOR, &right), ADV_OK); /* found by its known name */
    CHECK(right);
    CHECK_EQ(gather_and_decode(path, GREY, &right), ADV_ENOENT);

    void *bytes;
    uint64_t n;
    CHECK_EQ(adv_read_file(NULL, &a, path, 1 << 20, NULL, &bytes, &n), ADV_OK);
    int n_wrong = 0;
    for (uint64_t cut = 0; cut < n; cut++) {
        CHECK_EQ(adv_write_file(NULL, &a, path, bytes, cut, NULL), ADV_OK);
        AdvStatus st = gather_and_decode(path, COLOR, &right);
        n_wrong += !(st == ADV_EDATA || st == ADV_ENOENT || (st == ADV_OK && right));
    }
    CHECK_EQ(n_wrong, 0);
    adv_mem_free(&a, bytes, n + 1);
    CHECK_EQ(unlink(path), 0);
}

static void stored_and_loaded(void)
{
    char path[256];
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    DataCtx ctx = context(ds);
    DataFiles f;
    DataDecoded d, back;
    CHECK_EQ(data_files_init(&ctx, &table, &sets[COLOR], &f), ADV_OK);
    for (int i = B_1; i <= B_T; i++) {
        Bytes b = right_file(i);
        put_file(&ctx, &f, i, &b);
    }
    CHECK_EQ(data_decode(&ctx, &table, &sets[COLOR], &f, &d), ADV_OK);
    in_folder(path, "color.safetensors");
    CHECK_EQ(data_store(&ctx, path, &d), ADV_OK);
    void *block;
    uint64_t n;
    CHECK_EQ(data_load(&ctx, path, &sets[COLOR], &back, &block, &n), ADV_OK);
    CHECK(is_right(&back));
    adv_mem_free(&ctx.alloc, block, n);
    CHECK_EQ(ds->list.n, 0);
    CHECK_EQ(data_load(&ctx, path, &sets[GREY], &back, &block, &n), ADV_EDATA); /* another set */
    DataSetDef other = sets[COLOR];
    other.n_train = 6;
    CHECK_EQ(data_load(&ctx, path, &other, &back, &block, &n), ADV_EDATA);
    other = sets[COLOR];
    other.n_classes = 3; /* a label 3 is in it */
    CHECK_EQ(data_load(&ctx, path, &other, &back, &block, &n), ADV_EDATA);
    other = sets[COLOR];
    other.content_sha256 = "00";
    CHECK_EQ(data_load(&ctx, path, &other, &back, &block, &n), ADV_EDATA);
    CHECK(block == NULL && n == 0);
    CHECK_EQ(ds->list.n, 4);
    static const char *const says[] = {"it does not hold this data set", "`train.x` is missing or has another type or shape",
                                       "`train.y`: label 1 is 3", "the content's SHA-256 is"};
    for (uint32_t i = 0; i < ds->list.n; i++)
        if (!strstr(ds->list.at[i]->message, says[i])) CHECK_STR(ds->list.at[i]->message, says[i]);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(data_load(&ctx, path, &sets[COLOR], &back, &block, &n), ADV_ENOENT);
    data_decoded_fini(&ctx, &d);
    data_files_fini(&ctx, &f);
    adv_diags_free(ds);
}

/* Gather, decode, store, load with the k-th allocation failing. */
static void lack_of_memory(void)
{
    char path[256], out[256];
    write_archive(in_folder(path, "color.tgz"), P_1, P_TY);
    in_folder(out, "out");
    long k = 1;
    for (int done = 0; !done && k < 100; k++) {
        FaultAlloc fault = {.fail_at = k};
        DataCtx ctx = context(NULL);
        ctx.alloc = fault_alloc(&fault);
        DataFiles f;
        DataDecoded d = {0}, back;
        void *block = NULL;
        uint64_t n = 0;
        AdvStatus st = data_files_init(&ctx, &table, &sets[COLOR], &f);
        if (st == ADV_OK) st = data_gather(&ctx, &table, &sets[COLOR], path, &f);
        if (st == ADV_OK) st = data_decode(&ctx, &table, &sets[COLOR], &f, &d);
        if (st == ADV_OK) st = data_store(&ctx, out, &d);
        if (st == ADV_OK) st = data_load(&ctx, out, &sets[COLOR], &back, &block, &n);
        done = fault.calls < k;
        CHECK_EQ(st, done ? ADV_OK : ADV_ENOMEM);
        adv_mem_free(&ctx.alloc, block, n);
        data_decoded_fini(&ctx, &d);
        data_files_fini(&ctx, &f);
        CHECK(fault.n_live == 0 && fault.n_wrong_sizes == 0);
    }
    CHECK(k > 15);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(unlink(out), 0);
}

/* The real table: every form's files add up to its set. */
static void table_is_consistent(void)
{
    const DataTable *t = &data_table;
    for (uint32_t form = 0; form < t->n_forms; form++) {
        uint32_t n[DATA_TEST_XY + 1] = {0};
        const DataSetDef *set = NULL;
        for (uint32_t i = 0; i < t->n_sets; i++)
            if (strcmp(t->sets[i].name, t->forms[form].set) == 0) set = &t->sets[i];
        CHECK(set != NULL);
        for (uint32_t i = 0; i < t->n_files; i++) {
            if (t->files[i].form != form) continue;
            n[t->files[i].role] += t->files[i].n;
            CHECK(t->files[i].n_bytes > 0 && strlen(t->files[i].sha256) == 64);
        }
        if (!set) continue;
        CHECK_EQ(n[DATA_TRAIN_X] + n[DATA_TRAIN_XY], set->n_train);
        CHECK_EQ(n[DATA_TRAIN_Y] + n[DATA_TRAIN_XY], set->n_train);
        CHECK_EQ(n[DATA_TEST_X] + n[DATA_TEST_XY], set->n_test);
        CHECK_EQ(n[DATA_TEST_Y] + n[DATA_TEST_XY], set->n_test);
        CHECK(!t->forms[form].archive[0] || strlen(t->forms[form].sha256) == 64);
        CHECK(t->forms[form].route == DATA_PUBLISHER ? strstr(t->forms[form].from, "://") != NULL
                                                     : strchr(t->forms[form].from, '@') != NULL);
    }
}

int main(void)
{
    scratch_make(folder);
    RUN(right_files_decode);
    RUN(every_truncation_is_refused);
    RUN(flipped_bits);
    RUN(wrong_files_say_why);
    RUN(missing_files);
    RUN(digests_are_checked);
    RUN(folders_and_archives);
    RUN(stored_and_loaded);
    RUN(lack_of_memory);
    RUN(table_is_consistent);
    scratch_remove(folder);
    return ADV_TEST_END();
}
