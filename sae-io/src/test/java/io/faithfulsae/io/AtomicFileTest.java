package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFileTest {
  @TempDir Path folder;

  @Test
  void filesThatBelongTogetherAreAllReplacedOrNone() throws IOException {
    Path page = Files.writeString(folder.resolve("page.html"), "old");
    Path numbers = folder.resolve("page.json");
    Map<Path, AtomicFile.Content> files = new LinkedHashMap<>();
    files.put(page, AtomicFile.text("new"));
    files.put(
        numbers,
        channel -> {
          throw new IOException("No space left on device");
        });
    IOException e = assertThrows(IOException.class, () -> AtomicFile.writeTogether(files));
    assertEquals("cannot write " + numbers + ": No space left on device", e.getMessage());
    assertEquals("old", Files.readString(page));
    assertEquals(List.of("page.html"), names());
    files.put(numbers, AtomicFile.text("1"));
    AtomicFile.writeTogether(files);
    assertEquals("new", Files.readString(page));
    assertEquals(List.of("page.html", "page.json"), names());
  }

  @Test
  void aFinishedFileOrFolderGetsItsName() throws IOException {
    Path target = Files.writeString(folder.resolve("data.jsonl"), "old");
    AtomicFile.rename(Files.writeString(folder.resolve("data.jsonl.part"), "new"), target);
    assertEquals("new", Files.readString(target));
    Path unfinished = Files.createDirectory(folder.resolve(".sae.converting"));
    Files.writeString(unfinished.resolve("cfg.json"), "{}");
    AtomicFile.rename(unfinished, folder.resolve("sae"));
    assertEquals("{}", Files.readString(folder.resolve("sae").resolve("cfg.json")));
    assertEquals(List.of("data.jsonl", "sae"), names());
  }

  @Test
  void whatAKilledProcessLeftIsDeletedAndNothingElse() throws Exception {
    Path page = folder.resolve("page.html");
    Path alive = folder.resolve(".page.html.1.tmp");
    Files.writeString(folder.resolve(".page.html.abc123.tmp"), "half");
    Files.writeString(folder.resolve(".page.html.mine.tmp"), "the user's");
    Files.writeString(folder.resolve(".other.html.abc123.tmp"), "half");
    Process other = holding(alive);
    try {
      AtomicFile.writeString(page, "whole");
      assertEquals(
          List.of(".other.html.abc123.tmp", ".page.html.1.tmp", ".page.html.mine.tmp", "page.html"),
          names());
    } finally {
      other.destroyForcibly().waitFor();
    }
    AtomicFile.writeString(page, "again");
    assertFalse(Files.exists(alive));
  }

  @Test
  void aFileThatIsBeingWrittenHereIsLeftAlone() throws IOException {
    Path page = folder.resolve("page.html");
    AtomicFile.write(
        page,
        channel -> {
          AtomicFile.writeString(page, "within");
          AtomicFile.writeFully(channel, java.nio.ByteBuffer.wrap(new byte[] {'o', 'k'}));
        });
    assertEquals("ok", Files.readString(page));
  }

  @Test
  void anExceptionWithoutAMessageIsNamed() {
    IOException e =
        assertThrows(
            IOException.class,
            () ->
                AtomicFile.write(
                    folder.resolve("a"),
                    channel -> {
                      throw new ClosedByInterruptException();
                    }));
    assertTrue(e.getMessage().endsWith("a: ClosedByInterruptException"), e.getMessage());
  }

  private List<String> names() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }

  /** A process that has the file locked, as a writer has. */
  private static Process holding(Path file) throws IOException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Holder.class.getName(),
                file.toString())
            .start();
    assertEquals("locked", process.inputReader().readLine());
    return process;
  }

  /** The other process; it ends with its input. */
  static final class Holder {
    private Holder() {}

    public static void main(String[] args) throws IOException {
      try (FileChannel channel =
          FileChannel.open(Path.of(args[0]), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
        channel.lock();
        System.out.println("locked");
        System.in.read();
      }
    }
  }
}
