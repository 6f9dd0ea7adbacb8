"""`nnc.ops`: Keras's ops on tensors. They run now, or are recorded where a trace or a tape is
on.
"""
from .arrays import (append, arange, array, broadcast_to, concatenate, copy, diag, diagonal, empty,
                     empty_like, expand_dims, eye, flip, full, full_like, get_item, hstack,
                     identity, linspace, meshgrid, moveaxis, ndim, ones, ones_like, pad, ravel,
                     repeat, reshape, roll, size, split, squeeze, stack, swapaxes, take,
                     take_along_axis, tile, trace, transpose, tri, tril, triu, vstack, zeros,
                     zeros_like)
from . import image
from .attention import dot_product_attention
from .conv_family import (adaptive_average_pool, adaptive_max_pool, average_pool, conv,
                          conv_transpose, depth_to_space, depthwise_conv, fold, max_pool,
                          separable_conv, space_to_depth, unfold)
from .core import (cast, convert_to_numpy, convert_to_tensor, dtype, is_tensor, saturate_cast,
                   shape, slice, slice_update, stop_gradient, unstack)
from .ctc import ctc_decode, ctc_loss
from .complex_numbers import (angle, conj, conjugate, imag, isreal, polar, real,
                              view_as_complex, view_as_real)
from .elementwise import (arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh,
                          bitwise_and, bitwise_invert, bitwise_left_shift, bitwise_not, bitwise_or,
                          bitwise_right_shift, bitwise_xor, cbrt, cosh, deg2rad,
                          erfc, erfinv, exp2, fmax, fmin, fmod, gcd, heaviside, hypot, i0,
                          isneginf, isposinf, lcm, ldexp, left_shift, logaddexp2, nextafter,
                          rad2deg, right_shift, select, signbit, sinc, sinh, vectorize, view)
from .indexing import (array_split, bartlett, blackman, cdist, corrcoef, correlate, cross, diagflat,
                       diff, dsplit, dstack, fliplr, flipud, geomspace, hamming, hanning, hsplit,
                       kaiser, kron, logspace, rearrange, rot90, scatter, scatter_update,
                       segment_max, segment_min, segment_prod, segment_sum, trapezoid,
                       unravel_index, vander, vsplit)
from .einstein import einsum
from .fourier import extract_sequences, fft, fft2, ifft2, irfft, istft, rfft, stft
from .linalg import (cholesky, cholesky_inverse, det, eig, eigh, inv, logdet, lstsq, lu_factor,
                     matrix_rank, norm, pinv, qr, slogdet, solve, solve_triangular, svd)
from .nn import (batch_normalization, binary_crossentropy, categorical_crossentropy, celu, elu,
                 gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_swish, hard_tanh, in_top_k,
                 layer_normalization, leaky_relu, log_sigmoid, log_softmax, moments, multi_hot,
                 normalize, one_hot, psnr, relu, relu6, rms_normalization, selu, sigmoid, silu,
                 soft_shrink, softmax, softplus, softsign, sparse_categorical_crossentropy,
                 sparse_plus, sparse_sigmoid, squareplus, swish, tanh_shrink, threshold)
from .numpy import (abs, absolute, add, all, allclose, amax, amin, any, argmax, argmin, average,
                    ceil, clip, cos, count_nonzero, divide, divide_no_nan, dot, equal, erf, exp,
                    expm1, fabs, floor, floor_divide, greater, greater_equal, inner, isclose,
                    isfinite, isinf, isnan, less, less_equal, log, log10, log1p, log2, logaddexp,
                    logical_and, logical_not, logical_or, logical_xor, logsumexp, matmul, max,
                    maximum, mean, min, minimum, mod, multiply, nan_to_num, negative, not_equal,
                    outer, power, prod, ptp, reciprocal, round, rsqrt, sign, sin, sqrt, square, std,
                    subtract, sum, tan, tanh, tensordot, true_divide, trunc, var, vdot, where)
from .sorting import (argpartition, argsort, bincount, cumprod, cumsum, digitize, histogram, isin,
                      median, nanargmax, nanargmin, nancumprod, nancumsum, nanmax, nanmean,
                      nanmedian, nanmin, nanpercentile, nanprod, nanquantile, nanstd, nansum,
                      nanvar, nonzero, percentile, quantile, searchsorted, sort, sparsemax, top_k,
                      unique)
from .symbolic import dispatch_all as _dispatch_all

_dispatch_all(globals(), "nnc.ops")
_dispatch_all(vars(image), "nnc.ops.image", (
    "nnc.ops.image", "nnc.ops.sampling", "nnc.ops.warping"))

# What takes functions is no op on symbolic tensors.
from .control import (associative_scan, cond, fori_loop, jvp, map, scan, switch,    # noqa: E402
                      vectorized_map, while_loop)
from .custom import custom_gradient    # noqa: E402
