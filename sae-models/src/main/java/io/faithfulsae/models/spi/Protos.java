package io.faithfulsae.models.spi;

import ai.onnx.proto.OnnxMl.StringStringEntryProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnx.proto.OnnxMl.TensorShapeProto;
import ai.onnx.proto.OnnxMl.TypeProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import java.nio.file.Path;

/** Constants, weights and declarations as ONNX protocol buffers. */
final class Protos {
  private Protos() {}

  /** An input or output; a dimension is a number or a name. */
  static ValueInfoProto info(String name, TensorProto.DataType type, Object... shape) {
    TensorShapeProto.Builder dims = TensorShapeProto.newBuilder();
    for (Object dim : shape) {
      if (dim instanceof Number number) {
        dims.addDimBuilder().setDimValue(number.longValue());
      } else {
        dims.addDimBuilder().setDimParam(dim.toString());
      }
    }
    return ValueInfoProto.newBuilder()
        .setName(name)
        .setType(
            TypeProto.newBuilder()
                .setTensorType(
                    TypeProto.Tensor.newBuilder().setElemType(type.getNumber()).setShape(dims)))
        .build();
  }

  /** Float32 constants, without name and shape. */
  static TensorProto.Builder floats(float... values) {
    TensorProto.Builder tensor = tensor(TensorProto.DataType.FLOAT);
    for (float value : values) {
      tensor.addFloatData(value);
    }
    return tensor;
  }

  /** Float64 constants, without name and shape. */
  static TensorProto.Builder doubles(double... values) {
    TensorProto.Builder tensor = tensor(TensorProto.DataType.DOUBLE);
    for (double value : values) {
      tensor.addDoubleData(value);
    }
    return tensor;
  }

  /** Int64 constants, without name and shape. */
  static TensorProto.Builder integers(long... values) {
    TensorProto.Builder tensor = tensor(TensorProto.DataType.INT64);
    for (long value : values) {
      tensor.addInt64Data(value);
    }
    return tensor;
  }

  private static TensorProto.Builder tensor(TensorProto.DataType type) {
    return TensorProto.newBuilder().setDataType(type.getNumber());
  }

  /** A weight that stays in its file. */
  static TensorProto.Builder external(String name, Weights.Stored stored, Path root) {
    TensorProto.DataType type =
        switch (stored.entry().dtype()) {
          case F16 -> TensorProto.DataType.FLOAT16;
          case BF16 -> TensorProto.DataType.BFLOAT16;
          default -> TensorProto.DataType.FLOAT;
        };
    return tensor(type)
        .setName(name)
        .addAllDims(stored.entry().shape())
        .setDataLocation(TensorProto.DataLocation.EXTERNAL)
        .addExternalData(entry("location", root.relativize(stored.file()).toString()))
        .addExternalData(entry("offset", Long.toString(stored.entry().offset())))
        .addExternalData(entry("length", Long.toString(stored.entry().bytes())));
  }

  private static StringStringEntryProto entry(String key, String value) {
    return StringStringEntryProto.newBuilder().setKey(key).setValue(value).build();
  }
}
