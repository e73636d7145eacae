package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.internal.PickleWriter;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Files that someone made to do harm, through {@link Sae#load}: each is refused with a message that
 * names it, before anything is run or much memory is taken.
 */
class HostileFilesTest {
  private static final String FLOATS =
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";

  @TempDir Path dir;
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void aPickleThatCallsTheShellIsRefusedAndNothingRuns() throws IOException {
    Path trace = dir.resolve("trace");
    String pickle = "\u0080\u0002cos\nsystem\nX%c\0\0\0%s\u0085R.";
    String command = "touch " + trace;
    String text = pickle.formatted((char) command.length(), command);
    byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
    PickleWriter.zip(dir.resolve("ae.pt"), false, Map.of("archive/data.pkl", bytes));
    String config =
        "{'trainer': {'dict_class': 'AutoEncoder', 'activation_dim': 6, 'dict_size': 9}}";
    Files.writeString(dir.resolve("config.json"), config.replace('\'', '"'));
    assertRefused("ae.pt: pickle: expected only tensors and plain values, got a pickle that calls");
    assertFalse(Files.exists(trace));
  }

  @ParameterizedTest
  @CsvSource({"ae.pt, archive/data/0", "params.npz, W_enc.npy"})
  void aZipThatIsLargerInsideThanOutsideIsRefused(String file, String entry) throws IOException {
    PickleWriter.zip(dir.resolve(file), true, Map.of(entry, new byte[64 << 20]));
    Files.writeString(
        dir.resolve("config.json"), "{\"trainer\": {\"dict_class\": \"AutoEncoder\"}}");
    assertTrue(Files.size(dir.resolve(file)) < 100_000);
    assertRefused(file + ": zip: expected entries that are stored");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "<f4|O|object|little-endian numbers of",
        "<f4|>f4|big-endian|little-endian numbers of",
        "False|True|Fortran|expected row-major arrays, got Fortran order",
        "(2, 3)|(2, 4)|too many|expected an array of shape [2, 4]",
        "(2, 3)|(9000000000000000000, 9)|2^63|19 digits are no size",
        "(2, 3)|(900000000000000000, 900000000000000000)|2^63|expected an array of shape",
        "(2, 3)|(-2, -3)|negative|expected {'descr'",
        "'<f4'|__import__('os').system('true')|code|expected {'descr'",
        "'shape'|'shapes'|other key|expected {'descr'",
      })
  void anArrayWithAWrongHeaderIsRefused(String was, String becomes, String what, String message)
      throws IOException {
    npz(header(FLOATS.replace(was, becomes)), 24);
    assertRefused(message.equals("19 digits are no size") ? "expected {'descr'" : message);
  }

  @Test
  void anArrayWithABrokenStartIsRefused() throws IOException {
    npz(new byte[0], 0);
    assertRefused("W_enc.npy: expected a .npy array");
    npz("PK and no array at all".getBytes(StandardCharsets.US_ASCII), 0);
    assertRefused("W_enc.npy: expected a .npy array");
    byte[] endless = header(FLOATS);
    endless[8] = (byte) 0xff; // a length beyond the file
    endless[9] = (byte) 0xff;
    npz(endless, 24);
    assertRefused("W_enc.npy: expected a header of at most");
    npz(header("1".repeat(3_000)), 24); // no pattern may take forever
    assertRefused("W_enc.npy: expected {'descr'");
    npz(header(FLOATS.replace("2, 3", "1".repeat(1_500) + "1, ".repeat(500))), 24);
    assertRefused("W_enc.npy: expected {'descr'");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape':[2],'data_offsets':[4,12]}}|overlaps another tensor",
        "{'a':{'dtype':'F32','shape':[4611686018427387904,4],'data_offsets':[0,12]}}|a: ",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[9223372036854775804,9223372036854775807]}}|a: ",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0,18446744073709551616]}}|a: ",
      })
  void safetensorsThatLieAboutOffsetsOrSizesAreRefused(String header, String message)
      throws IOException {
    Files.writeString(dir.resolve("cfg.json"), "{\"d_in\": 6, \"d_sae\": 9}");
    safetensors(header.replace('\'', '"'), 12);
    assertRefused(message);
  }

  @ParameterizedTest
  @CsvSource({"cfg.json, [", "cfg.json, '{\"a\":'", "hyperparams.json, '{\"a\":'"})
  void jsonOfManyLevelsIsRefused(String file, String level) throws IOException {
    Files.writeString(dir.resolve(file), level.repeat(100_000));
    assertRefused(file + ": JSON: expected an object, got");
  }

  @ParameterizedTest
  @ValueSource(strings = {"cfg.json", "hyperparams.json"})
  void aConfigurationOfManyGigabytesIsNotRead(String file) throws IOException {
    try (RandomAccessFile holes = new RandomAccessFile(dir.resolve(file).toFile(), "rw")) {
      holes.setLength(1L << 34);
    }
    assertRefused(file + ": JSON: expected at most 16777216 bytes, got 17179869184");
  }

  @Test
  void aHeaderOfManyLevelsIsRefused() throws IOException {
    Files.writeString(dir.resolve("cfg.json"), "{\"d_in\": 6, \"d_sae\": 9}");
    safetensors("{\"a\":".repeat(100_000), 0);
    assertRefused("sae_weights.safetensors: header: expected JSON");
  }

  @Test
  void sizesThatNoMemoryHoldsAreRefusedBeforeTheyAreTaken() throws IOException {
    String config = "{'d_in': 2000000000, 'd_sae': 2000000000, 'architecture': 'standard'}";
    Files.writeString(dir.resolve("cfg.json"), config.replace('\'', '"'));
    safetensors(
        "{'W_enc':{'dtype':'F32','shape':[3],'data_offsets':[0,12]}}".replace('\'', '"'), 12);
    assertRefused("W_enc: expected shape [2000000000, 2000000000] from cfg.json, got [3]");
  }

  private void assertRefused(String message) {
    SaeFormatException e = assertThrows(SaeFormatException.class, () -> Sae.load(dir, backend));
    assertTrue(e.getMessage().contains(message), e.getMessage());
    assertTrue(e.getMessage().length() < 1_000, e.getMessage());
  }

  private static byte[] header(String dict) {
    byte[] text = (dict + "\n").getBytes(StandardCharsets.US_ASCII);
    ByteBuffer bytes = ByteBuffer.allocate(10 + text.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.put((byte) 0x93).put("NUMPY".getBytes(StandardCharsets.US_ASCII));
    return bytes.put((byte) 1).put((byte) 0).putShort((short) text.length).put(text).array();
  }

  private void npz(byte[] header, int data) throws IOException {
    byte[] whole = new byte[header.length + data];
    System.arraycopy(header, 0, whole, 0, header.length);
    PickleWriter.zip(dir.resolve("params.npz"), false, Map.of("W_enc.npy", whole));
  }

  private void safetensors(String header, int data) throws IOException {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes = ByteBuffer.allocate(8 + text.length + data).order(ByteOrder.LITTLE_ENDIAN);
    Files.write(
        dir.resolve("sae_weights.safetensors"), bytes.putLong(text.length).put(text).array());
  }
}
