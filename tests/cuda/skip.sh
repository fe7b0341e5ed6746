#!/bin/sh
echo "SKIP cuda: no headers of CUDA, cuBLAS, cuDNN and NVRTC, or no C++ compiler"
