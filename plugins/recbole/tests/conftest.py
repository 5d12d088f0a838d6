"""One thread: the tensors of tests are tiny, and on a busy machine threads wait minutes for each other."""

import torch

torch.set_num_threads(1)
