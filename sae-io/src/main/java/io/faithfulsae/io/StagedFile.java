package io.faithfulsae.io;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * A file's new content: written beside it, synced, then renamed over it, and the folder synced, so
 * that after a power cut there is the old file or the new one. Unless it was renamed, closing
 * deletes it. What a killed process left is deleted when the same file is written again: the
 * writer's lock on it has gone with the writer.
 */
final class StagedFile implements AutoCloseable {
  private static final String ENDING = ".tmp";

  /** Those of this process: closing another channel on one would drop its lock. */
  private static final Set<Path> OURS = ConcurrentHashMap.newKeySet();

  private final Path target;
  private final Path temporary;
  private final FileChannel channel;
  private boolean moved;

  private StagedFile(Path target, Path temporary, FileChannel channel) {
    this.target = target;
    this.temporary = temporary;
    this.channel = channel;
  }

  /** Writes and syncs the content; creates the folder if necessary. */
  static StagedFile write(Path target, AtomicFile.Content content) throws IOException {
    createFolder(folderOf(target));
    deleteLeftOver(target);
    StagedFile staged = create(target);
    boolean written = false;
    try {
      content.writeTo(staged.channel);
      staged.channel.force(true);
      written = true;
      return staged;
    } finally {
      if (!written) {
        staged.close();
      }
    }
  }

  private static StagedFile create(Path target) throws IOException {
    Path temporary =
        target.resolveSibling(prefix(target) + Long.toHexString(System.nanoTime()) + ENDING);
    Path absolute = temporary.toAbsolutePath();
    OURS.add(absolute);
    try {
      FileChannel channel =
          FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
      lock(channel);
      return new StagedFile(target, temporary, channel);
    } catch (IOException | RuntimeException e) {
      OURS.remove(absolute);
      throw e;
    }
  }

  /** Renames it over the file, and syncs the folder. */
  void move() throws IOException {
    rename(temporary, target);
    moved = true;
  }

  /** Renames what is on the disk already, and syncs the folder. */
  static void rename(Path from, Path to) throws IOException {
    try {
      Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    } catch (AtomicMoveNotSupportedException e) {
      Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
    }
    sync(folderOf(to));
  }

  @Override
  public void close() throws IOException {
    try {
      channel.close();
    } finally {
      OURS.remove(temporary.toAbsolutePath());
      if (!moved) {
        Files.deleteIfExists(temporary);
      }
    }
  }

  private static String prefix(Path target) {
    return "." + target.getFileName() + ".";
  }

  private static @Nullable Path folderOf(Path target) {
    return target.toAbsolutePath().getParent();
  }

  /** New folders are synced too: each is an entry of the one above. */
  private static void createFolder(@Nullable Path folder) throws IOException {
    Deque<Path> missing = new ArrayDeque<>();
    for (Path at = folder; at != null && !Files.exists(at); at = at.getParent()) {
      missing.push(at);
    }
    if (folder != null) {
      Files.createDirectories(folder);
    }
    for (Path made : missing) {
      sync(made.getParent());
    }
  }

  /** Syncs a folder's entries, where the file system can. */
  static void sync(@Nullable Path folder) {
    if (folder == null) {
      return;
    }
    try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
      channel.force(true);
    } catch (IOException | UnsupportedOperationException e) {
      log("cannot sync " + folder, e);
    }
  }

  private static void deleteLeftOver(Path target) {
    Path folder = folderOf(target);
    if (folder == null) {
      return;
    }
    String start = prefix(target);
    try (DirectoryStream<Path> entries =
        Files.newDirectoryStream(
            folder,
            path -> {
              String name = String.valueOf(path.getFileName());
              return name.startsWith(start)
                  && name.substring(start.length()).matches("[0-9a-f]{1,16}\\" + ENDING);
            })) {
      for (Path entry : entries) {
        if (!OURS.contains(entry.toAbsolutePath()) && isAbandoned(entry)) {
          Files.deleteIfExists(entry);
        }
      }
    } catch (IOException e) {
      log("looking for what a killed process left in " + folder, e);
    }
  }

  private static boolean isAbandoned(Path file) {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      return lock(channel) != null;
    } catch (IOException e) {
      return false;
    }
  }

  /** Null if another process has the lock, or the file system has none. */
  private static @Nullable FileLock lock(FileChannel channel) {
    try {
      return channel.tryLock();
    } catch (IOException | OverlappingFileLockException | UnsupportedOperationException e) {
      return null;
    }
  }

  /** What an exception says; some say nothing but their name. */
  static String reason(IOException e) {
    String said = e instanceof FileSystemException f ? f.getReason() : e.getMessage();
    return said == null ? e.getClass().getSimpleName() : said;
  }

  private static void log(String what, Exception e) {
    System.getLogger(StagedFile.class.getName()).log(System.Logger.Level.DEBUG, what, e);
  }
}
