package io.faithfulsae.models.runtime.internal;

import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.StringStringEntryProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxTensorLike;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import com.google.protobuf.InvalidProtocolBufferException;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * External weights of graphs in memory, each read once for all graphs. ONNX Runtime maps the file
 * of a weight that it is not given, and a mapped file that becomes shorter ends the process.
 *
 * <p><b>Closed</b> after the sessions that use them.
 */
final class CopiedWeights implements AutoCloseable {
  private final OrtEnvironment environment;
  private final Map<String, OnnxTensor> read = new HashMap<>();

  CopiedWeights(OrtEnvironment environment) {
    this.environment = environment;
  }

  /**
   * The external weights of a graph, by name.
   *
   * @throws UncheckedIOException if one cannot be read
   */
  synchronized Map<String, OnnxTensorLike> of(byte[] graph, Path root) throws OrtException {
    Map<String, OnnxTensorLike> weights = new LinkedHashMap<>();
    try {
      for (TensorProto tensor : ModelProto.parseFrom(graph).getGraph().getInitializerList()) {
        if (tensor.getDataLocation() == TensorProto.DataLocation.EXTERNAL) {
          weights.put(tensor.getName(), tensor(tensor, root));
        }
      }
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalArgumentException(
          Expected.message("an ONNX graph", e.getMessage(), "build it again"), e);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return weights;
  }

  private OnnxTensor tensor(TensorProto proto, Path root) throws IOException, OrtException {
    Map<String, String> place = new HashMap<>();
    for (StringStringEntryProto entry : proto.getExternalDataList()) {
      place.put(entry.getKey(), entry.getValue());
    }
    OnnxTensor known = read.get(place.toString());
    if (known == null) {
      Path file = root.resolve(place.getOrDefault("location", ""));
      long offset = Long.parseLong(place.getOrDefault("offset", "0"));
      long length = Long.parseLong(place.getOrDefault("length", "0"));
      long[] shape = proto.getDimsList().stream().mapToLong(n -> n).toArray();
      known =
          OnnxTensor.createTensor(
              environment, bytes(file, proto.getName(), offset, length), shape, type(proto));
      read.put(place.toString(), known);
    }
    return known;
  }

  private static ByteBuffer bytes(Path file, String name, long offset, long length)
      throws IOException {
    if (length > Integer.MAX_VALUE - 64) {
      throw new SaeFormatException(
          file,
          name,
          Expected.message(
              "a weight below 2 GiB, to copy it", length + " bytes", "open the model mapped"));
    }
    ByteBuffer bytes = DirectBuffers.bytes(length).order(ByteOrder.nativeOrder());
    try (FileChannel channel =
        FileChannel.open(RegularFile.require(file), StandardOpenOption.READ)) {
      while (bytes.hasRemaining()) {
        if (channel.read(bytes, offset + bytes.position()) < 0) {
          throw new SaeFormatException(
              file,
              name,
              Expected.message(
                  length + " bytes from byte " + offset,
                  bytes.position(),
                  "the file was shortened: fetch it again"));
        }
      }
    }
    return bytes.flip();
  }

  private static OnnxJavaType type(TensorProto proto) {
    return switch (proto.getDataType()) {
      case TensorProto.DataType.FLOAT16_VALUE -> OnnxJavaType.FLOAT16;
      case TensorProto.DataType.BFLOAT16_VALUE -> OnnxJavaType.BFLOAT16;
      default -> OnnxJavaType.FLOAT;
    };
  }

  @Override
  public synchronized void close() {
    read.values().forEach(OnnxTensor::close);
    read.clear();
  }
}
