package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CacheFolderTest {
  @TempDir Path dir;

  @Test
  void theHomeFolderIsUsedWhereItCanBe() throws IOException {
    assertEquals(Optional.empty(), CacheFolder.ownIfNeeded(dir, dir));
    assertTrue(Files.isDirectory(dir.resolve(".javacpp/cache")));
  }

  @Test
  void otherwiseANewFolderThatNobodyElseCanEnter() throws IOException {
    Path home = Files.writeString(dir.resolve("no-folder"), "");
    Path killed = Files.createDirectories(dir.resolve("faithfulsae-native-1"));
    Files.writeString(killed.resolve("lock"), "");
    Files.writeString(killed.resolve("libsae.so"), "");
    Path beingMade = Files.createDirectories(dir.resolve("faithfulsae-native-2"));
    Path first = CacheFolder.ownIfNeeded(home, dir).orElseThrow();
    Path second = CacheFolder.ownIfNeeded(home, dir).orElseThrow();
    assertNotEquals(first, second);
    assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(first)));
    assertFalse(Files.exists(killed), "that of a killed process");
    assertTrue(Files.exists(beingMade));
    assertTrue(Files.exists(first), "that of this process");
  }
}
