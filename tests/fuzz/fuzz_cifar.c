/* fuzz_cifar.c: any bytes as a file of each binary form of CIFAR. */
#include "tests/fuzz/readers.h"

static const DataSetDef set = {"color", "color", 4, 2, 2, 3, 3, 3, "", ""};
static const DataFileDef ten = {0, "b", DATA_TRAIN_XY, data_read_cifar10_bin, 3, 0, ""},
                         hundred = {0, "b", DATA_TRAIN_XY, data_read_cifar100_bin, 3, 0, ""};

/* The size decides which of them it can be. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AdvStatus a = fuzz_read(&set, &ten, data, size), b = fuzz_read(&set, &hundred, data, size);
    MUST(a == ADV_EDATA || size == 3 * 13);
    MUST(b == ADV_EDATA || size == 3 * 14);
    return 0;
}
