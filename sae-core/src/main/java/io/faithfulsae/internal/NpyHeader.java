package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The header of a {@code .npy} file: magic, version, length, and a Python dict with the element
 * type, the order and the shape ({@code numpy/lib/format.py}). Of the dict only the form that NumPy
 * writes is read.
 *
 * @param dataStart the first byte after it
 */
record NpyHeader(TorchType type, List<Long> shape, long dataStart) {
  /** More than any header of numbers needs; what is longer is a structured type. */
  static final int MAX_BYTES = 4096;

  private static final int MAX_DIMENSIONS = 8;
  private static final Pattern DICT =
      Pattern.compile(
          "\\{'descr': '([^']{1,20})', 'fortran_order': (True|False), "
              + "'shape': \\(((?:\\d{1,18}+L?+(?:, ?+|(?=\\))))*+)\\),?+ ?+\\}\\s*+");
  private static final Map<String, TorchType> TYPES =
      Map.of(
          "<f8", TorchType.FLOAT64,
          "<f4", TorchType.FLOAT32,
          "<f2", TorchType.FLOAT16,
          "<i8", TorchType.INT64,
          "<i4", TorchType.INT32,
          "<i2", TorchType.INT16,
          "|i1", TorchType.INT8,
          "|u1", TorchType.UINT8,
          "|b1", TorchType.BOOL);

  /**
   * Reads a header.
   *
   * @param entry the array's name, for messages
   * @param start the first bytes of the file, at most {@link #MAX_BYTES}
   * @param size bytes of the whole file
   */
  static NpyHeader read(Path file, String entry, ByteBuffer start, long size)
      throws SaeFormatException {
    ByteBuffer in = start.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    byte[] magic = new byte[Math.min(6, in.remaining())];
    in.get(magic);
    if (!new String(magic, StandardCharsets.ISO_8859_1).equals("\u0093NUMPY")
        || in.remaining() < 6) {
      throw error(file, entry, "a .npy array", "another header", "fetch the file again");
    }
    int major = in.get() & 0xff;
    in.get();
    if (major < 1 || major > 3) {
      throw error(file, entry, "version 1, 2 or 3 of .npy", major, "save it with numpy.savez");
    }
    long length = major == 1 ? in.getShort() & 0xffff : in.getInt() & 0xffffffffL;
    long dataStart = in.position() + length;
    if (length > in.remaining() || dataStart > size) {
      throw error(
          file,
          entry,
          "a header of at most " + Math.min(size, MAX_BYTES) + " bytes",
          length + " bytes",
          "fetch the file again");
    }
    byte[] text = new byte[(int) length];
    in.get(text);
    return parse(file, entry, new String(text, StandardCharsets.ISO_8859_1), dataStart, size);
  }

  private static NpyHeader parse(Path file, String entry, String text, long dataStart, long size)
      throws SaeFormatException {
    Matcher dict = DICT.matcher(text);
    if (!dict.matches()) {
      throw error(
          file,
          entry,
          "{'descr': TYPE, 'fortran_order': False, 'shape': (…)}",
          PickleText.quoted(text),
          "save plain arrays with numpy.savez");
    }
    TorchType type = TYPES.get(dict.group(1));
    if (type == null) {
      throw error(
          file,
          entry,
          "little-endian numbers of " + TYPES.keySet().stream().sorted().toList(),
          PickleText.quoted(dict.group(1)) + (dict.group(1).contains("O") ? " (a pickle)" : ""),
          "save it as float32");
    }
    if (dict.group(2).equals("True")) {
      throw error(
          file, entry, "row-major arrays", "Fortran order", "save numpy.ascontiguousarray of it");
    }
    List<Long> shape = new ArrayList<>();
    for (String number : dict.group(3).split("[L, ]+")) {
      if (!number.isEmpty()) {
        shape.add(Long.parseLong(number));
      }
    }
    long bytes;
    try {
      bytes = shape.stream().reduce((long) type.bytes(), Math::multiplyExact);
    } catch (ArithmeticException e) {
      bytes = -1;
    }
    if (shape.size() > MAX_DIMENSIONS || bytes != size - dataStart) {
      throw error(
          file,
          entry,
          "an array of shape " + shape + " and type " + type,
          (size - dataStart) + " bytes of data",
          "the file is damaged");
    }
    return new NpyHeader(type, List.copyOf(shape), dataStart);
  }

  private static SaeFormatException error(
      Path file, String entry, String expected, Object got, String remedy) {
    return new SaeFormatException(
        file, PickleText.printable(entry), Expected.message(expected, got, remedy));
  }
}
