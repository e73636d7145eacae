package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;

/** Damages a file in many small ways and checks how its reader handles each. */
public final class Mutations {
  private static final String[] JSON_VALUES = {
    "0", "-1", "1e999", "NaN", "null", "true", "9223372036854775807", "[]", "{}", "\"x\"", "0.5"
  };

  private Mutations() {}

  /** Reads a file and its related files into a value that can be compared. */
  public interface Reading {
    Object read() throws IOException;
  }

  /**
   * Each damaged file must give the same value as before, or be rejected with an error that names
   * it.
   *
   * @param head number of leading bytes to damage, for example the header
   * @return how many were rejected
   */
  public static int check(Path file, int count, long seed, int head, Reading reading)
      throws IOException {
    byte[] whole = Files.readAllBytes(file);
    Object expected = reading.read();
    int rejected = 0;
    for (int i = 0; i < count; i++) {
      byte[] damaged = mutate(whole, Math.min(head, whole.length), new SplittableRandom(seed + i));
      Files.write(file, damaged);
      String what = "mutation " + (seed + i) + " of " + file;
      try {
        assertEquals(expected, reading.read(), what);
      } catch (IOException | IllegalArgumentException e) {
        assertTrue(
            String.valueOf(e.getMessage()).contains(file.getFileName().toString()),
            what + " is rejected without its name: " + e);
        rejected++;
      } catch (RuntimeException | Error e) {
        if (e instanceof AssertionError) {
          throw e;
        }
        throw new AssertionError(what, e);
      } finally {
        Files.write(file, whole);
      }
    }
    return rejected;
  }

  private static byte[] mutate(byte[] whole, int head, SplittableRandom random) {
    int at = random.nextInt(head);
    int length = 1 + random.nextInt(Math.min(24, head - at));
    return switch (random.nextInt(9)) {
      case 0 -> put(whole, at, 1, (byte) (whole[at] ^ 1 << random.nextInt(8)));
      case 1 -> put(whole, at, 1, (byte) random.nextInt(256));
      case 2 -> put(whole, at, 0, (byte) random.nextInt(32, 127));
      case 3 -> put(whole, at, length);
      case 4 -> put(whole, at, whole.length - at);
      case 5 -> put(whole, at, 0, java.util.Arrays.copyOfRange(whole, at, at + length));
      case 6 -> put(whole, at, length, new byte[length]);
      case 7 -> number(whole, head, random, String.valueOf(random.nextInt(100)));
      default -> number(whole, head, random, JSON_VALUES[random.nextInt(JSON_VALUES.length)]);
    };
  }

  /**
   * Replaces the first number or word after a random position, if there is one, by another value.
   */
  private static byte[] number(byte[] whole, int head, SplittableRandom random, String value) {
    int from = random.nextInt(head);
    while (from < head && (whole[from] < '0' || whole[from] > '9')) {
      from++;
    }
    int to = from;
    while (to < head && whole[to] >= '0' && whole[to] <= '9') {
      to++;
    }
    return put(whole, from, to - from, value.getBytes(java.nio.charset.StandardCharsets.US_ASCII));
  }

  private static byte[] put(byte[] whole, int at, int removed, byte... inserted) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(whole, 0, at);
    out.writeBytes(inserted);
    out.write(whole, at + removed, whole.length - at - removed);
    return out.toByteArray();
  }
}
