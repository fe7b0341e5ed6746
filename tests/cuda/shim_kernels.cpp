/* shim_kernels.cpp: shim_kernels.cu for the host. */
#include "tests/cuda/shim.hpp"

#include "shim_kernels.cu"
