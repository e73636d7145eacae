package io.faithfulsae.io;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Writes safetensors byte for byte as the reference implementation does. */
final class SafetensorsWriter {
  /** A multiple of every element size. */
  private static final int CHUNK_BYTES = 32 << 20;

  private static final JsonMapper JSON = new JsonMapper();

  private SafetensorsWriter() {}

  /**
   * Writes with a checksum in the metadata, under {@link Checksum#KEY}. The checksum is computed
   * with zeros in its place, which are replaced at the end.
   */
  static void writeChecked(FileChannel channel, Map<String, String> metadata, List<Tensor> tensors)
      throws IOException {
    Map<String, String> checked = new LinkedHashMap<>();
    checked.put(Checksum.KEY, Checksum.ZEROS);
    checked.putAll(metadata);
    Checksum sum = new Checksum();
    write(channel, checked, tensors, sum);
    ByteBuffer hex = ByteBuffer.wrap(sum.hex().getBytes(StandardCharsets.US_ASCII));
    channel.position(Checksum.PLACE);
    AtomicFile.writeFully(channel, hex);
  }

  /** Writes to a channel, and adds the written bytes to a checksum. */
  static void write(
      FileChannel channel, Map<String, String> metadata, List<Tensor> tensors, Checksum sum)
      throws IOException {
    List<Tensor> ordered = new ArrayList<>(tensors);
    ordered.sort(Comparator.comparing(Tensor::dtype).thenComparing(Tensor::name));
    ByteBuffer header = header(metadata, ordered);
    sum.add(header);
    AtomicFile.writeFully(channel, header);
    for (Tensor tensor : ordered) {
      writeData(channel, tensor, sum);
    }
  }

  private static ByteBuffer header(Map<String, String> metadata, List<Tensor> tensors)
      throws IOException {
    ObjectNode root = JSON.createObjectNode();
    if (!metadata.isEmpty()) {
      ObjectNode node = root.putObject("__metadata__");
      // The checksum has a fixed position; the rest is sorted: Map.of's order varies by process.
      if (metadata.containsKey(Checksum.KEY)) {
        node.put(Checksum.KEY, metadata.get(Checksum.KEY));
      }
      new TreeMap<>(metadata).forEach(node::put);
    }
    Set<String> names = new HashSet<>(Set.of("__metadata__"));
    long offset = 0;
    for (Tensor tensor : tensors) {
      if (!names.add(tensor.name())) {
        throw new IllegalArgumentException(
            Expected.message(
                "distinct, unreserved tensor names", tensor.name(), "rename the tensor"));
      }
      ObjectNode node = root.putObject(tensor.name());
      node.put("dtype", tensor.dtype().name());
      tensor.shape().forEach(node.putArray("shape")::add);
      long end = offset + bytes(tensor);
      node.putArray("data_offsets").add(offset).add(end);
      offset = end;
    }
    byte[] json = JSON.writeValueAsString(root).getBytes(StandardCharsets.UTF_8);
    int padded = (json.length + 7) / 8 * 8;
    ByteBuffer buffer = ByteBuffer.allocate(8 + padded).order(ByteOrder.LITTLE_ENDIAN);
    buffer.putLong(padded).put(json);
    while (buffer.hasRemaining()) {
      buffer.put((byte) ' ');
    }
    return buffer.flip();
  }

  private static void writeData(FileChannel channel, Tensor tensor, Checksum sum)
      throws IOException {
    long total = bytes(tensor);
    int size = tensor.dtype().bytes();
    ByteBuffer buffer =
        DirectBuffers.bytes(Math.min(CHUNK_BYTES, total)).order(ByteOrder.LITTLE_ENDIAN);
    for (long at = 0; at < total; at += buffer.limit()) {
      buffer.clear().limit((int) Math.min(buffer.capacity(), total - at));
      tensor.data().fill(at / size, buffer.slice().order(ByteOrder.LITTLE_ENDIAN));
      sum.add(buffer);
      AtomicFile.writeFully(channel, buffer);
    }
  }

  private static long bytes(Tensor tensor) {
    return tensor.shape().stream().reduce((long) tensor.dtype().bytes(), Math::multiplyExact);
  }
}
