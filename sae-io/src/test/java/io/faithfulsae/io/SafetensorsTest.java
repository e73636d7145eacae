package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Entry;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsTest {
  private static final float[] GOLDEN = {
    0f, -0f, 1f, -2.5f, 65504f, 6e-8f, 3.140625f, Float.POSITIVE_INFINITY
  };

  @TempDir Path folder;

  @Test
  void readsWhatItWrote() throws IOException {
    Path file = folder.resolve("a.safetensors");
    float[] values = {1, -2, 3, Float.MIN_VALUE, -0f, Float.MAX_VALUE};
    Safetensors.write(
        file,
        Map.of("about", "a test"),
        List.of(
            Tensor.ofInts("ids", IntBuffer.wrap(new int[] {5, -6}), 2),
            Tensor.ofFloats("x", FloatBuffer.wrap(values), 2, 3)));
    try (Safetensors read = Safetensors.open(file)) {
      assertEquals(List.of("x", "ids"), List.copyOf(read.entries().keySet()));
      assertEquals(Map.of("about", "a test"), read.metadata());
      assertEquals(List.of(2L, 3L), read.entry("x").shape());
      assertArrayEquals(values, floats(read, "x"));
      FloatBuffer middle = FloatBuffer.allocate(2);
      read.readFloats("x", 2, middle);
      assertArrayEquals(new float[] {3, Float.MIN_VALUE}, middle.array());
      IntBuffer ids = IntBuffer.allocate(2);
      read.readInts("ids", 0, ids);
      assertArrayEquals(new int[] {5, -6}, ids.array());
      assertThrows(
          IllegalArgumentException.class, () -> read.readFloats("x", 5, FloatBuffer.allocate(2)));
    }
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList(), "no temporary file may be left behind");
    }
  }

  @Test
  void readsEveryTypeThatTheReferenceWrites() throws IOException {
    try (Safetensors read = Safetensors.open(golden())) {
      assertArrayEquals(GOLDEN, floats(read, "f64"), 1e-15f);
      assertArrayEquals(GOLDEN, floats(read, "f32"));
      float[] half = floats(read, "f16");
      assertEquals(0x1p-24f, half[5], "6e-8 rounds to the smallest subnormal half");
      half[5] = GOLDEN[5];
      assertArrayEquals(GOLDEN, half);
      float[] bf16 = floats(read, "bf16");
      assertEquals(65536f, bf16[4]);
      assertEquals(3.140625f, bf16[6]);
      assertEquals(1 / bf16[1], Float.NEGATIVE_INFINITY, "negative zero keeps its sign");
      IntBuffer ids = IntBuffer.allocate(3);
      read.readInts("i64", 0, ids);
      assertArrayEquals(new int[] {1, -2, Integer.MAX_VALUE}, ids.array());
      assertEquals(List.of(), read.entry("scalar").shape());
      assertEquals(0, read.entry("empty").elements());
      SaeFormatException wrong = assertThrows(SaeFormatException.class, () -> floats(read, "u8"));
      assertTrue(wrong.getMessage().contains("u8: expected dtype F32"), wrong.getMessage());
    }
  }

  @Test
  void writesTheReferencesBytes() throws IOException {
    List<Tensor> tensors = new ArrayList<>();
    Path copy = folder.resolve("copy.safetensors");
    try (Safetensors read = Safetensors.open(golden())) {
      for (Entry e : read.entries().values()) {
        tensors.add(
            new Tensor(
                e.name(),
                e.dtype(),
                e.shape(),
                (first, chunk) -> read.readBytes(e.name(), first * e.dtype().bytes(), chunk)));
      }
      Safetensors.write(copy, read.metadata(), tensors);
    }
    assertEquals(-1, Files.mismatch(golden(), copy));
  }

  @Test
  void readsAcrossWindowsOfAFileLargerThanTwoGibibytes() throws IOException {
    Path file = folder.resolve("large.safetensors");
    long elements =
        3 * Safetensors.WINDOW / 2 + 17; // BF16: 3 GiB and a little, on disk a sparse file
    byte[] header =
        ("{\"x\":{\"dtype\":\"BF16\",\"shape\":["
                + elements
                + "],\"data_offsets\":[0,"
                + 2 * elements
                + "]}}  ")
            .getBytes(StandardCharsets.UTF_8);
    long boundary = Safetensors.WINDOW / 2;
    try (FileChannel channel =
        FileChannel.open(
            file,
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.WRITE,
            StandardOpenOption.SPARSE)) {
      channel.write(
          ByteBuffer.allocate(8 + header.length)
              .order(ByteOrder.LITTLE_ENDIAN)
              .putLong(header.length)
              .put(header)
              .flip());
      long data = channel.position();
      for (long at : new long[] {boundary - 1, boundary, 2 * boundary, elements - 1}) {
        ByteBuffer two = ByteBuffer.allocate(2).order(ByteOrder.LITTLE_ENDIAN);
        channel.write(
            two.putShort((short) (Float.floatToIntBits(at % 7 + 1f) >>> 16)).flip(), data + 2 * at);
      }
    }
    try (Safetensors read = Safetensors.open(file)) {
      FloatBuffer four = FloatBuffer.allocate(4);
      read.readFloats("x", boundary - 2, four);
      assertArrayEquals(new float[] {0, (boundary - 1) % 7 + 1, boundary % 7 + 1, 0}, four.array());
      FloatBuffer last = FloatBuffer.allocate(2);
      read.readFloats("x", elements - 2, last);
      assertArrayEquals(new float[] {0, (elements - 1) % 7 + 1}, last.array());
    }
  }

  @Test
  void saysWhichTensorATruncatedFileLacksAndHowManyBytes() throws IOException {
    Path file = folder.resolve("a.safetensors");
    Safetensors.write(
        file, Map.of(), List.of(Tensor.ofFloats("W_enc", FloatBuffer.allocate(10), 10)));
    byte[] whole = Files.readAllBytes(file);
    Files.write(file, Arrays.copyOf(whole, whole.length - 13));
    assertProblem(
        file, "a.safetensors: W_enc: expected 40 bytes from offset", "got 27", "truncated");
    Files.write(file, Arrays.copyOf(whole, 20));
    assertProblem(file, "header: expected", "got 20", "truncated");
    Files.write(file, Arrays.copyOf(whole, 5));
    assertProblem(file, "header: expected at least 8 bytes, got 5");
    Files.delete(file);
    assertThrows(NoSuchFileException.class, () -> Safetensors.open(file));
  }

  @Test
  void rejectsADamagedHeader() throws IOException {
    assertProblem(raw("not json at all!", 0), "header: expected JSON");
    assertProblem(raw("[1, 2, 3]       ", 0), "header: expected a JSON object");
    assertProblem(raw(entry("a", "F31", "[2]", 0, 8), 8), "a: expected one of the dtypes");
    assertProblem(raw(entry("a", "F32", "[3]", 0, 8), 8), "a: expected 12 bytes for F32[3]");
    assertProblem(raw(entry("a", "F32", "[-1,-2]", 0, 8), 8), "a: expected a shape");
    assertProblem(
        raw(entry("a", "F32", "[4611686018427387904,4]", 0, 8), 8), "a: expected a shape");
    assertProblem(raw(entry("a", "F32", "[2]", 8, 0), 8), "a: expected 8 bytes");
    assertProblem(raw("{\"a\":{\"dtype\":\"F32\"}}", 8), "a: expected shape and two data_offsets");
    assertProblem(raw("{\"a\":{},\"a\":{}}", 8), "header: expected JSON", "Duplicate");
    Path wild = folder.resolve("wild");
    Files.write(wild, "PK\3\4 this is a zip file".getBytes(StandardCharsets.UTF_8));
    assertProblem(wild, "this is not a safetensors file");
  }

  @Test
  void rejectsOverlapsAndHoles() throws IOException {
    String first = entry("a", "F32", "[2]", 0, 8);
    String second = entry("b", "F32", "[2]", 4, 12);
    String joined = first.substring(0, first.length() - 1) + "," + second.substring(1);
    assertProblem(raw(joined, 12), "b: expected its data at offset", "overlaps");
    assertProblem(
        raw(joined.replace("[4,12]", "[9,17]"), 17), "b: expected its data at offset", "hole");
  }

  @Test
  void keepsTheOldFileWhenWritingFails() throws IOException {
    Path file = folder.resolve("a.safetensors");
    Files.writeString(file, "old");
    Tensor failing =
        new Tensor(
            "x",
            DType.F32,
            List.of(4L),
            (first, chunk) -> {
              throw new IOException("No space left on device");
            });
    IOException e =
        assertThrows(IOException.class, () -> Safetensors.write(file, Map.of(), List.of(failing)));
    assertEquals("cannot write " + file + ": No space left on device", e.getMessage());
    assertEquals("old", Files.readString(file));
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(1, files.count());
    }
  }

  private Path raw(String header, int dataBytes) throws IOException {
    Path file = folder.resolve("raw.safetensors");
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes =
        ByteBuffer.allocate(8 + json.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(json.length).put(json);
    Files.write(file, bytes.array());
    return file;
  }

  private static String entry(String name, String dtype, String shape, long begin, long end) {
    return "{\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}}"
        .formatted(name, dtype, shape, begin, end);
  }

  private static void assertProblem(Path file, String... parts) {
    SaeFormatException e =
        assertThrows(SaeFormatException.class, () -> Safetensors.open(file).close());
    for (String part : parts) {
      assertTrue(
          e.getMessage().contains(part), () -> "expected \"" + part + "\" in: " + e.getMessage());
    }
  }

  private static float[] floats(Safetensors file, String name) throws IOException {
    FloatBuffer into = FloatBuffer.allocate((int) file.entry(name).elements());
    file.readFloats(name, 0, into);
    return into.array();
  }

  private static Path golden() {
    return Path.of("src/test/resources/golden/every_dtype.safetensors");
  }
}
