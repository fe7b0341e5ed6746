// throw.cpp: what bad.c calls with -DBAD=THROW.
#include <stdexcept>

extern "C" void throw_something()
{
    throw std::runtime_error("thrown in a kernel");
}
