/* test_wrong_data.c: advrun with decoded data sets that are wrong: each ends with exit code 65 and a sentence that says which
** tensor, or where in the file, and starts no run.
**   test_wrong_data PATH-OF-ADVRUN
*/
#include "tests/adv_test.h"

#include "runtime/base/container.h"
#include "tests/base/scratch.h"
#include "tests/runtime/toy.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *advrun;
static char dir[64], data[96], plan[96];

typedef struct Set { ToyData d; AdvBlob blobs[4]; uint32_t n; } Set;
enum { TRAIN_X, TRAIN_Y, TEST_X, TEST_Y };

static void right_set(Set *s)
{
    s->d = toy_data();
    s->n = 4;
    s->blobs[TRAIN_X] =
        (AdvBlob){.name = "train.x", .dtype = ADV_F32, .rank = 2, .dim = {64, 3}, .data = s->d.train_x, .n_bytes = sizeof s->d.train_x};
    s->blobs[TRAIN_Y] =
        (AdvBlob){.name = "train.y", .dtype = ADV_I32, .rank = 1, .dim = {64}, .data = s->d.train_y, .n_bytes = sizeof s->d.train_y};
    s->blobs[TEST_X] =
        (AdvBlob){.name = "test.x", .dtype = ADV_F32, .rank = 2, .dim = {20, 3}, .data = s->d.test_x, .n_bytes = sizeof s->d.test_x};
    s->blobs[TEST_Y] =
        (AdvBlob){.name = "test.y", .dtype = ADV_I32, .rank = 1, .dim = {20}, .data = s->d.test_y, .n_bytes = sizeof s->d.test_y};
}

static void write_set(const Set *s)
{
    AdvAlloc a = adv_alloc_default();
    if (adv_container_write(NULL, &a, data, s->blobs, s->n, NULL, 0, NULL)) abort();
}

/* Exit code and text, both streams; a run folder only after success. */
static void expect(int code, const char *text)
{
    char command[1024], said[16384], run[96];
    struct stat sb;
    snprintf(run, sizeof run, "%s/run", dir);
    snprintf(command, sizeof command, "'%s' --threads=1 --progress=none --data='%s' --run-dir='%s' '%s' 2>&1", advrun, data, run, plan);
    FILE *f = popen(command, "r");
    if (!f) abort();
    size_t n = fread(said, 1, sizeof said - 1, f);
    said[n] = 0;
    int rc = pclose(f), got = WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
    bool is_right = got == code && strstr(said, text) && (code == 0 || (strstr(said, "error[ADV") && stat(run, &sb)));
    CHECK(is_right);
    if (!is_right) printf("exit code %d, expected %d and `%s` in:\n%s\n", got, code, text, said);
    scratch_remove(run);
}

static void right_data(void)
{
    Set s;
    right_set(&s);
    write_set(&s);
    expect(0, "final");
}

static void labels_out_of_range(void)
{
    static const struct { int blob; int row; int32_t value; const char *says; } rows[] = {
        {TRAIN_Y, 0, 4, "row 0 of `data.train.y`"}, {TRAIN_Y, 63, -1, "class -1"},      {TRAIN_Y, 7, INT32_MIN, "row 7 of"},
        {TEST_Y, 19, INT32_MAX, "class 2147483647"}, {TEST_Y, 3, 255, "classes 0 .. 3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Set s;
        right_set(&s);
        (rows[i].blob == TRAIN_Y ? s.d.train_y : s.d.test_y)[rows[i].row] = rows[i].value;
        write_set(&s);
        expect(65, rows[i].says);
    }
}

static void wrong_counts_sizes_and_types(void)
{
    for (int blob = 0; blob < 4; blob++) {
        Set s;
        char says[64];
        right_set(&s);
        snprintf(says, sizeof says, "`%s` in", s.blobs[blob].name);
        AdvBlob *b = &s.blobs[blob], right = *b;
        uint64_t row = b->n_bytes / (uint64_t)b->dim[0];
        b->dim[0]--, b->n_bytes -= row;
        write_set(&s);
        expect(65, says);
        *b = right;
        b->dim[0] = 0, b->n_bytes = 0;
        write_set(&s);
        expect(65, says);
        *b = right;
        b->dtype = b->dtype == ADV_F32 ? ADV_I32 : ADV_F32;
        write_set(&s);
        expect(65, says);
        *b = right;
        b->dim[b->rank++] = 1;
        write_set(&s);
        expect(65, "but the plan was compiled for");
        *b = right;
        if (b->rank == 2) b->dim[0] = 3, b->dim[1] = right.dim[0];
        else b->dtype = ADV_U8, b->n_bytes /= 4;
        write_set(&s);
        expect(65, says);
        right_set(&s);
        snprintf(says, sizeof says, "lacks the tensor `%s`", s.blobs[blob].name);
        s.blobs[blob].name = "other";
        write_set(&s);
        expect(65, says);
    }
}

static void put(const void *bytes, size_t n)
{
    FILE *f = fopen(data, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) abort();
}

static void not_a_container(void)
{
    static unsigned char bytes[1 << 16];
    static const char nested[] = "{\"train.x\":", text[] = "adv 1\nthis is a recipe, and no data\n";
    put("", 0);
    expect(65, "empty");
    put("short", 5);
    expect(65, "too short");
    put(text, sizeof text - 1);
    expect(65, "is cut off, or no safetensors file");
    memset(bytes, 0, sizeof bytes);
    put(bytes, sizeof bytes);
    expect(65, "does not begin with `{`");
    memset(bytes, 0xff, sizeof bytes);
    put(bytes, sizeof bytes);
    expect(65, "is cut off");
    memset(bytes, 0, 8); /* a header that is nothing but nesting */
    bytes[1] = 0xf0;
    for (size_t at = 8; at + sizeof nested < sizeof bytes; at += sizeof nested - 1) memcpy(bytes + at, nested, sizeof nested - 1);
    put(bytes, sizeof bytes);
    expect(65, "not valid JSON");
}

/* A shape whose product overflows, offsets beyond the end. */
static void headers_that_lie(void)
{
    static const char *const headers[] = {
        "{\"train.x\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}",
        "{\"train.x\":{\"dtype\":\"F32\",\"shape\":[64,3],\"data_offsets\":[0,768]}}",
        "{\"train.x\":{\"dtype\":\"F32\",\"shape\":[-64,3],\"data_offsets\":[0,0]}}",
        "{\"train.x\":{\"dtype\":\"F99\",\"shape\":[0],\"data_offsets\":[0,0]}}",
        "{\"train.x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,0]}}",
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},\"x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
        "{\"train.x\":[]}",
        "{\"__metadata__\":{\"adv.digest\":\"xxh3_128\"}}",
        "{}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        unsigned char bytes[1024] = {0};
        size_t n = strlen(headers[i]);
        bytes[0] = (unsigned char)n;
        bytes[1] = (unsigned char)(n >> 8);
        memcpy(bytes + 8, headers[i], n);
        put(bytes, 8 + n);
        expect(65, "set.safetensors");
    }
}

int main(int argc, char **argv)
{
    ToyBytes b = toy_make(toy_graph, toy_program, "toyhash", "cpu", NULL);
    AdvAlloc a = adv_alloc_default();
    if (argc != 2 || !b.data) return 2;
    advrun = argv[1];
    scratch_make(dir);
    snprintf(data, sizeof data, "%s/set.safetensors", dir);
    snprintf(plan, sizeof plan, "%s/toy.plan", dir);
    if (adv_write_file(NULL, &a, plan, b.data, b.n, NULL)) return 2;
    toy_bytes_free(&b);
    RUN(right_data);
    RUN(labels_out_of_range);
    RUN(wrong_counts_sizes_and_types);
    RUN(not_a_container);
    RUN(headers_that_lie);
    scratch_remove(dir);
    return ADV_TEST_END();
}
