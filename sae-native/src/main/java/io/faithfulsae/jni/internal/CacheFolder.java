package io.faithfulsae.jni.internal;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Where JavaCPP unpacks native libraries. Without a home folder that it can write to, it uses one
 * in the temporary directory whose name anyone can guess, and loads what it finds there. Instead it
 * gets a new one, which only this user can enter, and which is deleted at the end of the process;
 * those of killed processes are deleted by the next one.
 */
final class CacheFolder {
  private static final String PREFIX = "faithfulsae-native-";
  private static final String LOCK = "lock";

  private CacheFolder() {}

  /** Chooses the folder, unless the user has; before JavaCPP's first use. */
  static void choose() {
    if (System.getProperty("org.bytedeco.javacpp.cachedir") != null
        || System.getProperty("org.bytedeco.javacpp.cacheDir") != null) {
      return;
    }
    try {
      Path temporary = Path.of(System.getProperty("java.io.tmpdir"));
      Optional<Path> own = ownIfNeeded(Path.of(System.getProperty("user.home")), temporary);
      own.ifPresent(
          folder -> System.setProperty("org.bytedeco.javacpp.cachedir", folder.toString()));
    } catch (IOException e) {
      throw new LinkageError("cannot make a folder for native libraries: " + e, e);
    }
  }

  /** A new folder in the temporary directory; empty if the home folder will do. */
  static Optional<Path> ownIfNeeded(Path home, Path temporary) throws IOException {
    Path usual = home.resolve(".javacpp/cache");
    try {
      Files.createDirectories(usual);
      if (Files.isWritable(usual)) {
        return Optional.empty();
      }
    } catch (IOException e) {
      log("no folder for native libraries in " + home, e);
    }
    deleteLeftOver(temporary);
    Path folder =
        Files.createTempDirectory(
            temporary,
            PREFIX,
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    FileChannel held = // until the process ends, however it does
        FileChannel.open(
            folder.resolve(LOCK), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    held.tryLock();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(folder)));
    return Optional.of(folder);
  }

  private static void deleteLeftOver(Path temporary) throws IOException {
    try (DirectoryStream<Path> folders = Files.newDirectoryStream(temporary, PREFIX + "*")) {
      for (Path folder : folders) {
        if (isAbandoned(folder)) {
          delete(folder);
        }
      }
    }
  }

  /** Another user's cannot be opened, and one that is being made has no lock yet. */
  private static boolean isAbandoned(Path folder) {
    try (FileChannel channel = FileChannel.open(folder.resolve(LOCK), StandardOpenOption.WRITE)) {
      return channel.tryLock() != null;
    } catch (IOException | java.nio.channels.OverlappingFileLockException e) {
      return false;
    }
  }

  private static void delete(Path folder) {
    try (Stream<Path> inside = Files.walk(folder)) {
      List<Path> deepestFirst = inside.sorted(Comparator.reverseOrder()).toList();
      for (Path path : deepestFirst) {
        Files.deleteIfExists(path);
      }
    } catch (IOException e) {
      log("cannot delete " + folder, e);
    }
  }

  private static void log(String what, Exception e) {
    System.getLogger(CacheFolder.class.getName()).log(System.Logger.Level.DEBUG, what, e);
  }
}
