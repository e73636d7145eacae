package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class RegularFileTest {
  @TempDir Path dir;

  @Test
  void aFileThatIsNotTextIsNamed() throws IOException {
    Path file = Files.write(dir.resolve("main"), new byte[] {'a', (byte) 0xc3, '('});
    String message =
        assertThrows(SaeFormatException.class, () -> RegularFile.readString(file)).getMessage();
    assertTrue(message.startsWith(file + ": "), message);
    assertTrue(message.contains("expected text in UTF-8, got other bytes"), message);
    assertEquals("é", RegularFile.readString(Files.writeString(file, "é")));
  }
}
