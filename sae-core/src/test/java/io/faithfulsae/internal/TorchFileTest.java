package io.faithfulsae.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Files of torch.save: what PyTorch wrote, and what an attacker would. */
class TorchFileTest {
  @TempDir Path dir;
  private Path file;

  @BeforeEach
  void nameTheFile() {
    file = dir.resolve("some.pt");
  }

  @ParameterizedTest
  @ValueSource(strings = {"types.pt", "types_protocol_4.pt"})
  void everyElementTypeAndStrideIsRead(String name) throws IOException {
    Path written = Goldens.copy("peer_types/" + name, dir);
    Path expectations = Goldens.copy("peer_types/expected.safetensors", dir);
    try (TorchFile torch = TorchFile.open(written);
        Safetensors expected = Safetensors.open(expectations)) {
      TensorFile tensors = torch.tensors(torch.root());
      assertEquals(expected.entries().keySet(), tensors.tensors().keySet());
      for (Safetensors.Entry entry : expected.entries().values()) {
        float[] values = Goldens.floats(expected, entry.name());
        int rows = (int) entry.dim(0);
        int width = (int) entry.dim(1);
        tensors.checkShape(entry.name(), "PyTorch", (long) rows, (long) width);
        FloatBuffer all = FloatBuffer.allocate(values.length);
        tensors.tensor(entry.name()).readRows(0, 0, rows, all);
        assertArrayEquals(values, all.array(), entry.name());
        FloatBuffer lastColumn = FloatBuffer.allocate(rows);
        tensors.tensor(entry.name()).readRows(1, width - 1, 1, lastColumn);
        for (int row = 0; row < rows; row++) {
          assertEquals(values[row * width + width - 1], lastColumn.get(row), entry.name());
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"posix,system", "os,system", "builtins,eval", "torch,load", "collections,deque"})
  void aPickleThatCallsSomethingIsRefusedAndNothingRuns(String module, String name)
      throws IOException {
    Path trace = dir.resolve("trace");
    byte[] pickle =
        new PickleWriter().global(module, name).text("touch " + trace).raw(0x85).op("R.").bytes();
    String said = refusal(pickle, 0);
    assertTrue(said.contains("got a pickle that calls " + module + "." + name), said);
    assertTrue(said.contains("expected only tensors"), said);
    assertTrue(said.contains("nothing was executed"), said);
    assertFalse(Files.exists(trace));
    byte[] protocol4 =
        new PickleWriter().text(module).text(name).raw(0x93).text("x").raw(0x85).op("R.").bytes();
    assertTrue(refusal(protocol4, 0).contains("calls " + module + "." + name));
  }

  @ParameterizedTest
  @ValueSource(strings = {"(iposix\nsystem\n.", "(o.", "))\u0081.", "\u0082\u0001.", "P0\n."})
  void otherInstructionsAreRefused(String program) throws IOException {
    String said = refusal(new PickleWriter().op(program).bytes(), 0);
    assertTrue(said.contains("expected only tensors and plain values, got instruction 0x"), said);
  }

  @Test
  void callingAStorageOrBuildingAnObjectIsRefused() throws IOException {
    byte[] call = new PickleWriter().global("torch", "FloatStorage").op(")R.").bytes();
    assertTrue(refusal(call, 0).contains("got a call of"));
    byte[] build = new PickleWriter().global("collections", "OrderedDict").op("}b.").bytes();
    assertTrue(refusal(build, 0).contains("an object with attributes"));
  }

  @Test
  void aZipBombIsNotUnpacked() throws IOException {
    byte[] zeros = new byte[64 << 20];
    PickleWriter.zip(file, true, Map.of("a/data.pkl", zeros));
    assertTrue(Files.size(file) < 1 << 20);
    String said = refusal();
    assertTrue(said.contains("expected entries that are stored"), said);
    assertTrue(said.contains("\"a/data.pkl\" of 67108864 bytes compressed to"), said);
  }

  @Test
  void aPickleThatIsTooLongIsNotRead() throws IOException {
    assertTrue(refusal(new byte[2 << 20], 0).contains("expected data.pkl of at most 1048576"));
  }

  @Test
  void entriesThatShareBytesAreRefused() throws IOException {
    Map<String, byte[]> entries = new HashMap<>();
    entries.put("a/data.pkl", PickleWriter.tensor(4, 0, new long[] {4}, new long[] {1}));
    for (int i = 0; i < 4; i++) {
      entries.put("a/data/" + i, new byte[1000]);
    }
    byte[] zip = Files.readAllBytes(PickleWriter.zip(file, false, entries));
    for (int at = zip.length - 4; at > 0; at--) { // the directory is last
      if (zip[at] == 'P' && zip[at + 1] == 'K' && zip[at + 2] == 1 && zip[at + 20 + 1] == 3) {
        zip[at + 22] = 1; // the size of an entry of 1000 bytes, both ways: 66,536
        zip[at + 26] = 1;
      }
    }
    Files.write(file, zip);
    assertTrue(refusal().contains("expected entries that together fit in the file's"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "9223372036854775807|0|4|1|elements of FLOAT32 in storage",
        "5|0|4|1|5 elements of FLOAT32 in storage \"0\", got 16 bytes",
        "4|0|9223372036854775807|1|a tensor inside its storage of 4 elements",
        "4|9223372036854775807|4|1|fewer than 2^63 elements",
        "4|0|4|9223372036854775807|fewer than 2^63 elements",
        "4|1|4|1|a tensor inside its storage",
        "4|0|4|2|a tensor inside its storage",
        "4|0|5|0|a tensor inside its storage",
        "4|-1|4|1|a tensor inside its storage",
        "4|0|-4|1|sizes and strides of 0 or more",
        "4|0|4|-1|sizes and strides of 0 or more",
      })
  void aTensorOutsideItsStorageIsRefused(
      long elements, long offset, long size, long stride, String problem) throws IOException {
    byte[] right = PickleWriter.tensor(4, 0, new long[] {4}, new long[] {1});
    TorchFile.open(PickleWriter.zip(file, right, 16)).close();
    byte[] wrong = PickleWriter.tensor(elements, offset, new long[] {size}, new long[] {stride});
    String said = refusal(wrong, 16);
    assertTrue(said.contains(problem), said);
  }

  @Test
  void shapesWhoseProductOverflowsAreRefused() throws IOException {
    long[] huge = {1L << 32, 1L << 32};
    assertTrue(refusal(PickleWriter.tensor(4, 0, huge, new long[] {0, 0}), 16).contains("2^63"));
    assertTrue(
        refusal(PickleWriter.tensor(4, 0, new long[20], new long[20]), 16).contains("dimensions"));
  }

  @Test
  void deepNestingAndCopiesOfCopiesAreRefused() throws IOException {
    for (String open : new String[] {"(", "]", "}"}) {
      String said = refusal(new PickleWriter().op(open.repeat(100_000)).op(".").bytes(), 0);
      assertTrue(said.contains("nested too deeply"), said);
    }
    PickleWriter inside = new PickleWriter().op("]");
    for (int i = 0; i < 100_000; i++) {
      inside.raw(0x85); // a tuple of the last value
    }
    assertTrue(refusal(inside.op(".").bytes(), 0).contains("expected a dict of tensors"));
    PickleWriter bomb = new PickleWriter().op("]q").raw(0).op("K").raw(1).op("a");
    for (int i = 0; i < 200; i++) { // ten references to the list before, 200 times
      bomb.op("](").op("h\0".repeat(10)).op("eq").raw(0);
    }
    assertTrue(refusal(bomb.op(".").bytes(), 0).contains("expected a dict of tensors"));
    byte[] key = new PickleWriter().op("}]q").raw(0).op("h\0a").op("Ns.").bytes();
    assertTrue(refusal(key, 0).contains("as a key"), "a list that contains itself has no hash");
    byte[] copy =
        new PickleWriter().global("collections", "OrderedDict").op("]").raw(0x85).op("R.").bytes();
    assertTrue(refusal(copy, 0).contains("an OrderedDict that is made of a list"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "h\u0005.", "a.", "t.", "(00t.", "X\u00ff\u00ff\u00ff\u007f.", "Nu."})
  void damagedPicklesAreNamed(String program) throws IOException {
    String said = refusal(new PickleWriter().op(program).bytes(), 0);
    assertTrue(said.contains("some.pt: pickle: expected a whole pickle, got "), said);
  }

  @Test
  void otherFilesAreNamed() throws IOException {
    Files.write(file, new byte[] {(byte) 0x80, 2, (byte) 0x8a, 10});
    assertTrue(refusal().contains("since PyTorch 1.6, got a bare pickle; load it with torch.load"));
    Files.writeString(file, "<html>");
    assertTrue(refusal().contains("got another file"));
    Files.writeString(file, "PK\3\4 and no more");
    assertTrue(refusal().contains("some.pt: zip: expected a zip as torch.save writes it, got"));
    byte[] pickle = PickleWriter.tensor(4, 0, new long[] {4}, new long[] {1});
    byte[] big = "big".getBytes(StandardCharsets.US_ASCII);
    PickleWriter.zip(
        file, false, Map.of("a/data.pkl", pickle, "a/data/0", new byte[16], "a/byteorder", big));
    assertTrue(refusal().contains("expected byteorder little, got \"big\""));
    PickleWriter.zip(file, false, Map.of("a/data.pkl", pickle));
    assertTrue(refusal().contains("expected an entry \"data/0\", got none"));
    PickleWriter.zip(file, false, Map.of("other", pickle));
    assertTrue(refusal().contains("expected one entry NAME/data.pkl"));
  }

  /** Every damaged file is read, or refused with its name; nothing else is thrown. */
  @Test
  void randomDamageIsAnIOExceptionAtWorst() throws IOException {
    byte[] whole = Files.readAllBytes(Goldens.copy("peer_types/types.pt", dir));
    int refused = 0;
    for (int i = 0; i < 1000; i++) {
      SplittableRandom random = new SplittableRandom(i);
      byte[] damaged = whole.clone();
      for (int j = 0; j < 1 + i % 3; j++) {
        damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
      }
      Files.write(file, damaged);
      try (TorchFile torch = TorchFile.open(file)) {
        for (StoredTensor tensor : torch.tensors(torch.root()).tensors().values()) {
          if (tensor.shape().size() == 2 && tensor.elements() > 0) {
            tensor.readRows(
                0,
                0,
                tensor.shape().get(0).intValue(),
                FloatBuffer.allocate((int) tensor.elements()));
          }
        }
      } catch (SaeFormatException e) {
        assertTrue(e.getMessage().contains("some.pt"), e.getMessage());
        refused++;
      }
    }
    assertTrue(refused > 100, refused + " refused");
  }

  private String refusal(byte[] pickle, int storageBytes) throws IOException {
    PickleWriter.zip(file, pickle, storageBytes);
    return refusal();
  }

  private String refusal() {
    return String.valueOf(
        assertThrows(SaeFormatException.class, () -> TorchFile.open(file).close()).getMessage());
  }
}
