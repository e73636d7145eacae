package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.faithfulsae.Backends;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One study at a time in a folder. */
final class StudyLockTest {
  @TempDir Path dir;

  @Test
  void secondStudyIsRejectedBeforeItWritesAnything() throws IOException {
    OutputLock first = OutputLock.ofFolder(dir);
    try (Backend backend = Backends.open("cpu")) {
      List<Path> before = files();
      assertThrows(
          IOException.class,
          () -> Study.run(StudyFile.defaults(), dir, backend, StudyListener.NONE));
      assertEquals(before, files());
    } finally {
      first.close();
    }
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> all = Files.walk(dir)) {
      return all.sorted().toList();
    }
  }
}
