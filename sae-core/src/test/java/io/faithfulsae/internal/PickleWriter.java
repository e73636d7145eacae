package io.faithfulsae.internal;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Writes pickles and zips as {@code torch.save} does, and ones that it never would. */
public final class PickleWriter {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  PickleWriter() {
    raw(0x80, 2);
  }

  PickleWriter raw(int... bytes) {
    for (int b : bytes) {
      out.write(b);
    }
    return this;
  }

  PickleWriter op(String codes) {
    out.writeBytes(codes.getBytes(StandardCharsets.ISO_8859_1));
    return this;
  }

  PickleWriter global(String module, String name) {
    return op("c" + module + "\n" + name + "\n");
  }

  PickleWriter text(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    op("X");
    out.writeBytes(little(4).putInt(bytes.length).array());
    out.writeBytes(bytes);
    return this;
  }

  PickleWriter number(long value) {
    raw(0x8a, 8);
    out.writeBytes(little(8).putLong(value).array());
    return this;
  }

  PickleWriter tuple(long... values) {
    op("(");
    for (long value : values) {
      number(value);
    }
    return op("t");
  }

  /** {@code {"t": tensor}} of float32 storage 0, in a whole pickle. */
  static byte[] tensor(long elements, long offset, long[] shape, long[] strides) {
    PickleWriter w = new PickleWriter().op("}").text("t");
    w.global("torch._utils", "_rebuild_tensor_v2").op("((").text("storage");
    w.global("torch", "FloatStorage").text("0").text("cpu").number(elements).op("tQ");
    w.number(offset).tuple(shape).tuple(strides).raw(0x89).global("collections", "OrderedDict");
    return w.op(")RtRs.").bytes();
  }

  byte[] bytes() {
    return out.toByteArray();
  }

  /** A zip with this pickle and one storage of zeros. */
  static Path zip(Path file, byte[] pickle, int storageBytes) throws IOException {
    return zip(file, false, Map.of("a/data.pkl", pickle, "a/data/0", new byte[storageBytes]));
  }

  /** A zip of these entries; torch.save and numpy.savez compress none. */
  public static Path zip(Path file, boolean compressed, Map<String, byte[]> entries)
      throws IOException {
    try (OutputStream raw = Files.newOutputStream(file);
        ZipOutputStream zip = new ZipOutputStream(raw)) {
      for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
        ZipEntry header = new ZipEntry(entry.getKey());
        if (!compressed) {
          CRC32 crc = new CRC32();
          crc.update(entry.getValue());
          header.setMethod(ZipEntry.STORED);
          header.setSize(entry.getValue().length);
          header.setCrc(crc.getValue());
        }
        zip.putNextEntry(header);
        zip.write(entry.getValue());
        zip.closeEntry();
      }
    }
    return file;
  }

  private static ByteBuffer little(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
