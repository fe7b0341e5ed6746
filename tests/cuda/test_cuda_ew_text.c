/* test_cuda_ew_text.c: what the generated texts are made to be: a function of what is computed and of how operands lie, and of
** nothing else. That they compute the right numbers is test_ops_cuda's to show, that compilers take them test_cuda_texts'.
*/
#include "tests/adv_test.h"
#include "tests/base/comma.h"

#include "ops/cuda/ew_text.h"
#include "ops/view.h"

#include <math.h>
#include <string.h>

typedef struct Made {
    AdvEwKernel k;
    char name[ADV_EW_NAME], text[8192];
} Made;

/* relu(x + b), or x itself: x of `dim`, b broadcast over all but the channels. */
static void make(Made *m, uint8_t in, uint8_t out, const int64_t dim[4], uint8_t layout, bool is_move)
{
    static const AdvEwStep steps[] = {{&adv_ew_rows[ADV_EW_add], "add", {0, 1, 0}}, {&adv_ew_rows[ADV_EW_relu], "relu", {2, 0, 0}}};
    AdvTensorType x = {.dtype = in, .rank = 4, .layout = layout}, b = x, y;
    for (uint32_t i = 0; i < 4; i++) x.dim[i] = dim[i], b.dim[i] = i == 1 ? dim[1] : 1;
    y = x;
    y.dtype = out;
    AdvView vy = adv_view_of(&y, NULL), v[2] = {adv_view_of(&x, NULL), adv_view_of(&b, NULL)};
    memset(m, 0, sizeof *m);
    m->k = (AdvEwKernel){.n_in = is_move ? 1 : 2, .n_steps = is_move ? 0 : 2, .steps = steps, .dtype = {out, in, in}};
    adv_ew_kernel_lay(&m->k, &vy, v);
    CHECK(adv_ew_kernel_text(&m->k, m->name, m->text, sizeof m->text) < sizeof m->text);
}

static Made a, b;

static void test_names(void)
{
    const int64_t small[4] = {2, 64, 8, 8}, large[4] = {512, 64, 8, 8}, other[4] = {2, 32, 8, 8};
    make(&a, ADV_BF16, ADV_BF16, small, ADV_LAYOUT_CL, false);
    make(&b, ADV_BF16, ADV_BF16, large, ADV_LAYOUT_CL, false);
    CHECK_STR(a.name, b.name); /* another batch, and even another image: the same kernel */
    CHECK_STR(a.text, b.text);
    CHECK(strstr(a.text, a.name) != NULL);
    CHECK_EQ(strlen(a.name), 19);
    make(&b, ADV_BF16, ADV_BF16, other, ADV_LAYOUT_CL, false);
    CHECK(strcmp(a.name, b.name) != 0);
    make(&b, ADV_F32, ADV_F32, small, ADV_LAYOUT_CL, false);
    CHECK(strcmp(a.name, b.name) != 0);
    make(&b, ADV_BF16, ADV_BF16, small, ADV_LAYOUT_ROW, false);
    CHECK(strcmp(a.name, b.name) != 0);
}

static void test_packs(void)
{
    const int64_t dim[4] = {2, 64, 5, 5};
    make(&a, ADV_BF16, ADV_BF16, dim, ADV_LAYOUT_CL, false);
    CHECK_EQ(a.k.pack, 8); /* 16 bytes */
    CHECK(strstr(a.text, "adv_load<8>") && strstr(a.text, "adv_store"));
    CHECK_EQ(adv_ew_kernel_threads(&a.k), 2 * 64 * 25 / 8);
    make(&a, ADV_F32, ADV_F32, dim, ADV_LAYOUT_CL, false);
    CHECK_EQ(a.k.pack, 4);
    make(&a, ADV_F32, ADV_BF16, dim, ADV_LAYOUT_CL, true);
    CHECK_EQ(a.k.pack, 8); /* a cast: 32 bytes in, 16 out */
    make(&a, ADV_U8, ADV_U8, dim, ADV_LAYOUT_ROW, true);
    CHECK_EQ(a.k.pack, 16);
    CHECK(strstr(a.text, "adv_narrow") == NULL); /* bits are moved */
}

static void test_rounding(void)
{
    const int64_t dim[4] = {2, 64, 5, 5};
    make(&a, ADV_BF16, ADV_BF16, dim, ADV_LAYOUT_CL, false);
    CHECK(strstr(a.text, "adv_round_to<AdvBf16>") != NULL); /* as the definition stores it between steps */
    make(&a, ADV_F32, ADV_F32, dim, ADV_LAYOUT_CL, false);
    CHECK(strstr(a.text, "adv_round_to") == NULL);
    make(&a, ADV_I64, ADV_I64, dim, ADV_LAYOUT_ROW, false);
    CHECK(strstr(a.text, "double s0;") != NULL); /* integers compute in double, as definitions do */
}

/* Filters turned to channels-last: a thread takes the 9 places of a window. */
static void test_runs(void)
{
    AdvTensorType row = {.dtype = ADV_F32, .rank = 4, .dim = {128, 64, 3, 3}}, cl = row;
    cl.dtype = ADV_BF16;
    cl.layout = ADV_LAYOUT_CL;
    AdvView from = adv_view_of(&row, NULL), to = adv_view_of(&cl, NULL);
    a.k = (AdvEwKernel){.n_in = 1, .dtype = {ADV_BF16, ADV_F32}};
    adv_ew_kernel_lay(&a.k, &to, &from);
    CHECK_EQ(a.k.n_run, 9);
    CHECK_EQ(adv_ew_kernel_threads(&a.k), 128 * 64);
    a.k = (AdvEwKernel){.n_in = 1, .dtype = {ADV_F32, ADV_BF16}};
    adv_ew_kernel_lay(&a.k, &from, &to);
    CHECK_EQ(a.k.n_run, 9);
    a.k = (AdvEwKernel){.n_in = 1, .dtype = {ADV_F32, ADV_F32}};
    adv_ew_kernel_lay(&a.k, &from, &from);
    CHECK_EQ(a.k.n_run, 1);
}

/* Images from one order to another, whatever their types. */
static void turn(uint8_t in, uint8_t out, bool is_back, int64_t n, int64_t c, int64_t h, int64_t w)
{
    AdvTensorType row = {.dtype = is_back ? out : in, .rank = 4, .dim = {n, c, h, w}}, cl = row;
    cl.dtype = is_back ? in : out;
    cl.layout = ADV_LAYOUT_CL;
    AdvView of_row = adv_view_of(&row, NULL), of_cl = adv_view_of(&cl, NULL);
    memset(&a, 0, sizeof a);
    a.k = (AdvEwKernel){.n_in = 1, .dtype = {out, in}};
    adv_ew_kernel_lay(&a.k, is_back ? &of_row : &of_cl, is_back ? &of_cl : &of_row);
    CHECK(adv_ew_kernel_text(&a.k, a.name, a.text, sizeof a.text) < sizeof a.text);
}

/* Two long dimensions: a block takes squares, of 64 where the elements are small and both dimensions go beyond 32. */
static void test_squares(void)
{
    turn(ADV_F32, ADV_F32, false, 3, 64, 9, 9);
    CHECK_EQ(a.k.side, 32);
    CHECK_EQ(adv_ew_kernel_threads(&a.k), 3 * 2 * 3 * 256);
    CHECK(strstr(a.text, "__syncthreads") && strstr(a.text, "adv_tile"));
    turn(ADV_BF16, ADV_BF16, true, 3, 64, 9, 9);
    CHECK_EQ(a.k.side, 64);
    CHECK_EQ(adv_ew_kernel_threads(&a.k), 3 * 2 * 256);
    turn(ADV_BF16, ADV_F32, true, 3, 64, 9, 9);
    CHECK_EQ(a.k.side, 32); /* by the wider of the two */
    turn(ADV_BF16, ADV_BF16, false, 1, 17, 3, 11);
    CHECK_EQ(a.k.side, 32); /* two squares at most half empty */
    CHECK_EQ(adv_ew_kernel_threads(&a.k), 2 * 256);
    turn(ADV_F32, ADV_F32, false, 3, 3, 32, 32);
    CHECK_EQ(a.k.side, 0); /* three channels are a thread's */
    CHECK_EQ(a.k.n_run, 3);
    CHECK_EQ(a.k.run_pack, 1);
    turn(ADV_F32, ADV_F32, false, 3, 16, 8, 8);
    CHECK_EQ(a.k.side, 0);
    CHECK_EQ(a.k.run_pack, 4);
    turn(ADV_BF16, ADV_BF16, false, 3, 12, 8, 8);
    CHECK_EQ(a.k.run_pack, 4); /* a pack is a power of two that 12 is made of */
    CHECK(strstr(a.text, "adv_store(y + (j * 4 + ") != NULL);
}

/* Beyond 2^32 elements positions are divided in 64 bits. */
static void test_huge(void)
{
    const int64_t dim[4] = {1 << 20, 64, 16, 16}, small[4] = {1 << 10, 64, 16, 16};
    make(&a, ADV_BF16, ADV_BF16, dim, ADV_LAYOUT_CL, false);
    CHECK(strstr(a.text, "unsigned long long u = ") != NULL);
    CHECK_EQ(adv_ew_kernel_threads(&a.k), (INT64_C(1) << 34) / 8);
    make(&a, ADV_BF16, ADV_BF16, small, ADV_LAYOUT_CL, false);
    CHECK(strstr(a.text, "unsigned long long u = ") == NULL);
}

/* x + 1.5, with a point also where the host program's numbers have a comma. */
static void test_constants(void)
{
    static const AdvEwStep step = {&adv_ew_rows[ADV_EW_add], "add", {0, 1, 0}};
    static const double half = 1.5;
    AdvTensorType x = {.dtype = ADV_F32, .rank = 1, .dim = {8}};
    AdvView v = adv_view_of(&x, NULL);
    a.k = (AdvEwKernel){.n_in = 1, .n_consts = 1, .n_steps = 1, .consts = &half, .steps = &step, .dtype = {ADV_F32, ADV_F32}};
    adv_ew_kernel_lay(&a.k, &v, &v);
    bool is_comma = comma_begin();
    CHECK(adv_ew_kernel_text(&a.k, a.name, a.text, sizeof a.text) < sizeof a.text);
    if (is_comma) comma_end();
    CHECK(strstr(a.text, "(float)0x1.8p+0") != NULL);
}

/* A text that does not fit is as long as it would be. */
static void test_length(void)
{
    const int64_t dim[4] = {2, 64, 5, 5};
    char name[ADV_EW_NAME], few[16];
    make(&a, ADV_BF16, ADV_BF16, dim, ADV_LAYOUT_CL, false);
    CHECK_EQ(adv_ew_kernel_text(&a.k, name, few, sizeof few), strlen(a.text));
}

int main(void)
{
    RUN(test_names);
    RUN(test_packs);
    RUN(test_rounding);
    RUN(test_runs);
    RUN(test_squares);
    RUN(test_huge);
    RUN(test_constants);
    RUN(test_length);
    return ADV_TEST_END();
}
