"""Which operators of opset 18 onnxruntime has CUDA kernels for, and for which types.

From the table that onnxruntime publishes (docs/OperatorKernels.md, "Operators implemented by
CUDAExecutionProvider", as of its commit 001d12d2). Types are those of an operator's data, in
ONNX's names. An operator that is not here has no kernel.
"""

_FLOATS = frozenset({"float", "float16", "double"})
_SIGNED = frozenset({"int8", "int16", "int32", "int64"})
_UNSIGNED = frozenset({"uint8", "uint16", "uint32", "uint64"})
_NUMBERS = _FLOATS | _SIGNED | _UNSIGNED
_WIDE = _FLOATS | {"int32", "int64", "uint32", "uint64"}

_OPERATORS = (
    (
        _FLOATS,
        """
        ArgMax ArgMin AveragePool BatchNormalization Ceil Conv ConvTranspose Cos DepthToSpace
        Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool GlobalMaxPool HardSigmoid
        HardSwish InstanceNormalization IsNaN LRN LSTM LayerNormalization LeakyRelu Log LogSoftmax
        MatMul MaxPool PRelu RNN Reciprocal ReduceLogSum ReduceLogSumExp ReduceSumSquare Relu Round
        Selu Sigmoid Sin Softmax Softplus Softsign SpaceToDepth Sqrt Sum Tanh ThresholdedRelu
        """,
    ),
    (_NUMBERS, "Abs Add Div Mul Shrink Sign Sub"),
    (
        _NUMBERS | {"bool"},
        """
        Cast Compress Concat ConstantOfShape Expand Flatten Gather GatherElements Identity If Loop
        Reshape Scan ScatterElements ScatterND Shape Size Slice Split Squeeze Transpose Trilu
        Unsqueeze
        """,
    ),
    (_WIDE, "CumSum Greater GreaterOrEqual Less LessOrEqual Max Min Mod"),
    (_WIDE | {"bool"}, "Equal"),
    (_FLOATS | _SIGNED, "Neg"),
    (frozenset({"bool"}), "And Not Or Xor"),
    (_FLOATS | {"int32"}, "ReduceL1 ReduceL2 ReduceMean ReduceProd"),
    (_FLOATS | {"int32", "int64"}, "Pow ReduceMax ReduceSum Tile TopK"),
    (_FLOATS | {"int8", "int32", "int64", "uint8"}, "ReduceMin"),
    (_FLOATS | {"int8", "int64", "uint8", "uint64"}, "Clip"),
    (_FLOATS | {"bool"}, "Pad"),
    (_FLOATS | {"bool", "int64"}, "GatherND"),
    (_FLOATS | {"int32", "uint8"}, "Resize"),
    (_FLOATS | {"int32", "int64", "uint8"}, "Where"),
    (frozenset({"bool", "float", "float16", "int32", "int64", "uint8"}), "NonZero"),
    (frozenset({"int32", "int64"}), "OneHot"),
    (frozenset({"double", "float", "int16", "int32", "int64"}), "Range"),
    (frozenset({"double", "float"}), "IsInf"),
    (frozenset({"float"}), "GridSample"),
)

KERNELS: dict[str, frozenset[str]] = {
    name: types for types, names in _OPERATORS for name in names.split()
}

# Inputs that CUDA kernels read in the CPU's memory, by position.
_SECOND = ("CumSum", "Expand", "OneHot", "Reshape", "Split", "Squeeze", "Tile", "TopK", "Trilu")
HOST_INPUTS: dict[str, frozenset[int]] = {
    **{name: frozenset({1}) for name in KERNELS if name.startswith("Reduce")},
    **dict.fromkeys((*_SECOND, "Unsqueeze"), frozenset({1})),
    **dict.fromkeys(("ConstantOfShape", "If"), frozenset({0})),
    "Loop": frozenset({0, 1}),
    "Pad": frozenset({1, 3}),
    "Range": frozenset({0, 1, 2}),
    "Resize": frozenset({1, 2, 3}),
    "Slice": frozenset({1, 2, 3, 4}),
}

# Operators that leave their output in the CPU's memory.
HOST_OUTPUTS = frozenset({"Shape", "Size"})
