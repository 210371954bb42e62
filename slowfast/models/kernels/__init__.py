"""Operations that a GPU computes by kernels of its own."""
