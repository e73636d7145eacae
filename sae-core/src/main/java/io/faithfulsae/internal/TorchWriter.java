package io.faithfulsae.internal;

import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * Writes a dict of tensors as {@code torch.save} does: a zip of stored entries, with a pickle of
 * protocol 2 that uses what {@code torch.load(weights_only=True)} allows. The same tensors give the
 * same bytes.
 */
final class TorchWriter {
  private static final int CHUNK_BYTES = 8 << 20; // a multiple of every element size
  private static final String FOLDER = "archive/";
  private static final LocalDateTime EPOCH = LocalDateTime.of(1980, 1, 1, 0, 0);

  private final ByteArrayOutputStream pickle = new ByteArrayOutputStream();
  private final ByteBuffer scratch = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);

  private TorchWriter() {}

  /** Writes a file atomically. Each tensor's elements are asked for twice: a zip has checksums. */
  static void write(Path file, List<Safetensors.Tensor> tensors) throws IOException {
    AtomicFile.write(
        file,
        channel -> {
          OutputStream out = Channels.newOutputStream(channel);
          ZipOutputStream zip = new ZipOutputStream(out);
          entry(zip, "data.pkl", new TorchWriter().dict(tensors));
          entry(zip, "byteorder", "little".getBytes(StandardCharsets.US_ASCII));
          for (int i = 0; i < tensors.size(); i++) {
            entry(zip, "data/" + i, tensors.get(i));
          }
          entry(zip, "version", "3\n".getBytes(StandardCharsets.US_ASCII));
          zip.finish(); // the channel is not ours to close
        });
  }

  private byte[] dict(List<Safetensors.Tensor> tensors) {
    code("\u0080\u0002}("); // PROTO 2, EMPTY_DICT, MARK
    for (int i = 0; i < tensors.size(); i++) {
      text(tensors.get(i).name());
      tensor(tensors.get(i), String.valueOf(i));
    }
    return code("u.").pickle.toByteArray(); // SETITEMS, STOP
  }

  /** {@code _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)}. */
  private void tensor(Safetensors.Tensor tensor, String key) {
    long elements = tensor.shape().stream().reduce(1L, (a, b) -> a * b);
    code("ctorch._utils\n_rebuild_tensor_v2\n((");
    text("storage").code("ctorch\n" + storage(tensor.dtype()) + "\n");
    text(key).text("cpu").number(elements).code("tQ"); // TUPLE, BINPERSID
    number(0).code("(");
    tensor.shape().forEach(this::number);
    code("t(");
    long stride = elements;
    for (long size : tensor.shape()) {
      stride /= size;
      number(stride);
    }
    code("t\u0089ccollections\nOrderedDict\n)RtR"); // False, OrderedDict(), TUPLE, REDUCE
  }

  private static String storage(DType type) {
    return switch (type) {
      case F32 -> "FloatStorage";
      case F64 -> "DoubleStorage";
      case I32 -> "IntStorage";
      case I64 -> "LongStorage";
      default -> throw new IllegalArgumentException("no storage for " + type);
    };
  }

  private TorchWriter code(String codes) {
    pickle.writeBytes(codes.getBytes(StandardCharsets.ISO_8859_1));
    return this;
  }

  private TorchWriter text(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    code("X").little(Integer.BYTES).putInt(bytes.length);
    return bytes(scratch.array(), Integer.BYTES).bytes(bytes, bytes.length);
  }

  private TorchWriter number(long value) {
    if (value == (int) value) {
      code("J").little(Integer.BYTES).putInt((int) value);
      return bytes(scratch.array(), Integer.BYTES);
    }
    code("\u008a\b").little(Long.BYTES).putLong(value); // LONG1 of 8 bytes
    return bytes(scratch.array(), Long.BYTES);
  }

  private ByteBuffer little(int bytes) {
    return scratch.clear().limit(bytes);
  }

  private TorchWriter bytes(byte[] from, int count) {
    pickle.write(from, 0, count);
    return this;
  }

  private static void entry(ZipOutputStream zip, String name, byte[] content) throws IOException {
    CRC32 sum = new CRC32();
    sum.update(content);
    begin(zip, name, content.length, sum);
    zip.write(content);
    zip.closeEntry();
  }

  private static void entry(ZipOutputStream zip, String name, Safetensors.Tensor tensor)
      throws IOException {
    int element = tensor.dtype().bytes();
    long bytes = tensor.shape().stream().reduce((long) element, Math::multiplyExact);
    ByteBuffer chunk =
        DirectBuffers.bytes(Math.min(CHUNK_BYTES, bytes)).order(ByteOrder.LITTLE_ENDIAN);
    CRC32 sum = new CRC32();
    for (long at = 0; at < bytes; at += chunk.limit()) {
      fill(tensor, at / element, bytes - at, chunk);
      sum.update(chunk);
    }
    begin(zip, name, bytes, sum);
    byte[] copy = new byte[chunk.capacity()];
    for (long at = 0; at < bytes; at += chunk.limit()) {
      fill(tensor, at / element, bytes - at, chunk);
      chunk.get(copy, 0, chunk.limit());
      zip.write(copy, 0, chunk.limit());
    }
    zip.closeEntry();
  }

  private static void fill(Safetensors.Tensor tensor, long first, long left, ByteBuffer chunk)
      throws IOException {
    chunk.clear().limit((int) Math.min(chunk.capacity(), left));
    tensor.data().fill(first, chunk.slice().order(ByteOrder.LITTLE_ENDIAN));
  }

  private static void begin(ZipOutputStream zip, String name, long bytes, CRC32 sum)
      throws IOException {
    ZipEntry header = new ZipEntry(FOLDER + name);
    header.setMethod(ZipEntry.STORED);
    header.setSize(bytes);
    header.setCrc(sum.getValue());
    header.setTimeLocal(EPOCH);
    zip.putNextEntry(header);
  }
}
