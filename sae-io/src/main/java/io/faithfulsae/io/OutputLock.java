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
 * Keeps an output, a file or a folder, to one writer at a time. The lock is one of the operating
 * system, on a hidden file beside the output file or inside the output folder: it goes when its
 * process ends, however that comes about, so that a file without an owner blocks nobody. The file
 * says who has it, and is deleted when the lock is released.
 *
 * <p><b>Threads</b>: any; a lock may be released by another thread than the one that took it.
 * <b>Closed by</b> who took it.
 */
public final class OutputLock implements AutoCloseable {
  private static final System.Logger LOG = System.getLogger(OutputLock.class.getName());

  /**
   * A lock of the operating system belongs to the process, and closing any channel of the file
   * drops it. So whoever comes second within a process must be turned away before opening the file:
   * the system properties are the one table that all class loaders of a process share.
   */
  private static final String HELD = "io.faithfulsae.output.";

  /** The byte that is locked: beyond the text, which others read where locks are mandatory. */
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
   * Takes the lock of a file, which need not be there yet; its folder is made.
   *
   * @throws IOException if another writer has it; the message says who
   */
  public static OutputLock ofFile(Path output) throws IOException {
    Path whole = output.toAbsolutePath();
    Path folder = Objects.requireNonNull(whole.getParent(), "a file is in a folder");
    Files.createDirectories(folder);
    return take(output, folder.toRealPath().resolve("." + whole.getFileName() + ".lock"));
  }

  /** Takes the lock of a folder, which is made if need be; otherwise as {@link #ofFile}. */
  public static OutputLock ofFolder(Path output) throws IOException {
    Files.createDirectories(output);
    return take(output, output.toRealPath().resolve(".lock"));
  }

  /** Takes the locks of several folders, or none of them. */
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
   * Tries to lock the file that is at the path.
   *
   * @return false if the file was deleted by the writer before, between its opening and its locking
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
    // Only a holder deletes the file, so once the path is known to lead to the file that is locked
    // here, it stays so. The second channel must stay open: closing it would drop the lock.
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

  /** A holder writes its text right after it has locked the file. */
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
    String holder = text.lines().findFirst().orElse("a process that does not say its name");
    return new IOException(
        "expected "
            + output
            + " to have no other writer, got "
            + holder
            + "; wait until it ends, stop it, or name another output");
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

  /** Without asking the network, which {@link java.net.InetAddress} would do. */
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
      // While it is still locked: nobody else can have taken the file at this path.
      Files.deleteIfExists(file);
    } catch (IOException e) {
      LOG.log(System.Logger.Level.DEBUG, "the lock file stays behind, without a lock", e);
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
