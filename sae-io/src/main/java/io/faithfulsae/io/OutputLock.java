package io.faithfulsae.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Restricts an output file or folder to one writer at a time. It is an operating system lock on a
 * hidden file next to the output file or inside the output folder: it disappears when its process
 * ends for any reason, so a stale file blocks nobody. The file names the holder, and is deleted
 * when the lock is released.
 *
 * <p><b>Threads</b>: any; a lock may be released by a different thread from the one that took it.
 * <b>Closed by</b> whoever took it.
 */
public final class OutputLock implements AutoCloseable {
  private static final System.Logger LOG = System.getLogger(OutputLock.class.getName());

  /**
   * An operating system lock belongs to the process, and closing any channel on the file drops it.
   * So a second writer in the same process must be rejected before it opens the file: system
   * properties are the one table that all class loaders of a process share.
   */
  private static final String HELD = "io.faithfulsae.output.";

  /**
   * The byte that is locked: past the text, so that others can read the text where locks are
   * mandatory.
   */
  private static final long LOCKED_BYTE = Long.MAX_VALUE - 1;

  private static final int MAX_TEXT = 4096;
  private static final int MAX_COMMAND = 500;

  private final Path file;
  private final String property;
  private final List<FileChannel> channels = new ArrayList<>();
  private @Nullable FileLock lock;
  private boolean closed;

  private OutputLock(Path file, String property) {
    this.file = file;
    this.property = property;
  }

  /**
   * Locks a file, which need not exist yet; its folder is created.
   *
   * @throws IOException if another writer has it; the message says who
   */
  public static OutputLock ofFile(Path output) throws IOException {
    Path absolute = output.toAbsolutePath();
    Path folder = Objects.requireNonNull(absolute.getParent(), "a file has a parent folder");
    Files.createDirectories(folder);
    return take(output, folder.toRealPath().resolve("." + absolute.getFileName() + ".lock"));
  }

  /** Locks a folder, which is created if necessary; otherwise as {@link #ofFile}. */
  public static OutputLock ofFolder(Path output) throws IOException {
    Files.createDirectories(output);
    return take(output, output.toRealPath().resolve(".lock"));
  }

  /** Locks all of several folders, or none of them. */
  public static List<OutputLock> ofFolders(List<Path> outputs) throws IOException {
    List<OutputLock> taken = new ArrayList<>();
    try {
      for (Path output : outputs) {
        taken.add(ofFolder(output));
      }
    } catch (IOException | RuntimeException e) {
      taken.forEach(OutputLock::close);
      throw e;
    }
    return Collections.unmodifiableList(taken);
  }

  private static OutputLock take(Path output, Path file) throws IOException {
    String me = describe();
    String property = HELD + file;
    Object holder = System.getProperties().putIfAbsent(property, me);
    if (holder != null) {
      throw held(output, String.valueOf(holder));
    }
    OutputLock taken = new OutputLock(file, property);
    try {
      while (!taken.tryOnce(output, me)) {
        Thread.onSpinWait();
      }
      return taken;
    } catch (IOException | RuntimeException e) {
      taken.letGo();
      throw e;
    }
  }

  /**
   * Tries to lock the file at the path.
   *
   * @return false if the previous writer deleted the file after it was opened here and before it
   *     was locked
   */
  private boolean tryOnce(Path output, String me) throws IOException {
    FileChannel channel =
        FileChannel.open(
            file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
    channels.add(channel);
    try {
      lock = channel.tryLock(LOCKED_BYTE, 1, false);
    } catch (OverlappingFileLockException e) {
      throw held(output, read(channel));
    } catch (IOException e) {
      LOG.log(
          System.Logger.Level.WARNING,
          "{0} is not protected from a second writer: its file system has no locks ({1})",
          output,
          e.getMessage());
      return true;
    }
    if (lock == null) {
      throw held(output, waitForText(channel));
    }
    // Only a holder deletes the file, so once the path is known to lead to the locked file, it
    // stays that way. The second channel must stay open: closing it would drop the lock.
    String mark = me + "\n" + UUID.randomUUID() + "\n";
    channel.truncate(0);
    AtomicFile.writeFully(channel, ByteBuffer.wrap(mark.getBytes(StandardCharsets.UTF_8)));
    if (mark.equals(readThroughPath())) {
      return true;
    }
    closeChannels();
    return false;
  }

  private @Nullable String readThroughPath() throws IOException {
    try {
      FileChannel again = FileChannel.open(file, StandardOpenOption.READ);
      channels.add(again);
      return read(again);
    } catch (NoSuchFileException e) {
      return null;
    }
  }

  /** A holder writes its text right after locking the file. */
  private static String waitForText(FileChannel channel) throws IOException {
    String text = read(channel);
    for (int i = 0; text.isBlank() && i < 50; i++) {
      LockSupport.parkNanos(10_000_000);
      text = read(channel);
    }
    return text;
  }

  private static String read(FileChannel channel) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(MAX_TEXT);
    int read = 0;
    while (read >= 0 && bytes.hasRemaining()) {
      read = channel.read(bytes, bytes.position());
    }
    return new String(bytes.array(), 0, bytes.position(), StandardCharsets.UTF_8);
  }

  private static IOException held(Path output, String text) {
    String holder = text.lines().findFirst().orElse("an unknown process");
    return new IOException(
        Expected.message(
            output + " to have no other writer",
            holder,
            "wait until it ends, stop it, or choose another output"));
  }

  private static String describe() {
    String command =
        System.getProperty(
            "sun.java.command", ProcessHandle.current().info().commandLine().orElse("unknown"));
    return "process %d on %s, since %s: %s"
        .formatted(
            ProcessHandle.current().pid(),
            host(),
            Instant.now().truncatedTo(ChronoUnit.SECONDS),
            command
                .substring(0, Math.min(MAX_COMMAND, command.length()))
                .replaceAll("\\p{Cntrl}", " "));
  }

  /** Without a network lookup, which {@link java.net.InetAddress} would do. */
  private static String host() {
    try {
      return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
    } catch (IOException e) {
      String name = System.getenv("HOSTNAME");
      return name == null ? "this host" : name;
    }
  }

  /** Releases the lock and deletes its file; further calls do nothing. */
  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      // While still locked: nobody else can have taken the file at this path.
      Files.deleteIfExists(file);
    } catch (IOException e) {
      LOG.log(System.Logger.Level.DEBUG, "the lock file stays behind, unlocked", e);
    }
    letGo();
  }

  private void letGo() {
    closeChannels();
    System.getProperties().remove(property);
  }

  private void closeChannels() {
    for (FileChannel channel : channels) {
      try {
        channel.close();
      } catch (IOException e) {
        LOG.log(System.Logger.Level.WARNING, "closing " + file, e);
      }
    }
    channels.clear();
    lock = null;
  }
}
