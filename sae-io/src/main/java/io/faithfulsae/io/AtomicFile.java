package io.faithfulsae.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Writes to a temporary file next to the target, syncs it, renames it and syncs the folder, so that
 * a reader sees either the old file or the complete new one, also after a crash or a power cut.
 */
public final class AtomicFile {
  private AtomicFile() {}

  /** Writes the content of a file. */
  @FunctionalInterface
  public interface Content {
    /** Writes everything to a channel that is at position 0. */
    void writeTo(FileChannel channel) throws IOException;
  }

  /**
   * Writes a file, creating its folder if necessary. On failure the old file stays and no temporary
   * file is left behind.
   *
   * @throws IOException if the content cannot be written, for example because the disk is full
   */
  public static void write(Path target, Content content) throws IOException {
    writeTogether(Map.of(target, content));
  }

  /**
   * Writes files that belong together: all of them are complete and on the disk before the first
   * one replaces its old file, in the order of the map. If one cannot be written, all old files
   * stay.
   */
  public static void writeTogether(Map<Path, Content> contents) throws IOException {
    List<StagedFile> staged = new ArrayList<>();
    Path current = null;
    try {
      for (Map.Entry<Path, Content> each : contents.entrySet()) {
        current = each.getKey();
        staged.add(StagedFile.write(current, each.getValue()));
      }
      for (StagedFile file : staged) {
        file.move();
      }
    } catch (IOException e) {
      throw new IOException("cannot write " + current + ": " + StagedFile.reason(e), e);
    } finally {
      for (StagedFile file : staged) {
        file.close();
      }
    }
  }

  /**
   * Gives a finished file its name, replacing the one that has it: what is in it is on the disk
   * before. A folder is renamed as it is; its files must be on the disk already.
   *
   * @throws IOException if it cannot be renamed, or a folder has the name
   */
  public static void rename(Path finished, Path target) throws IOException {
    if (!Files.isDirectory(finished)) {
      try (FileChannel channel = FileChannel.open(finished, StandardOpenOption.WRITE)) {
        channel.force(true);
      }
    }
    StagedFile.rename(finished, target);
  }

  /** Writes a text file in UTF-8. */
  public static void writeString(Path target, String text) throws IOException {
    write(target, text(text));
  }

  /** The content of a text file in UTF-8. */
  public static Content text(String text) {
    return channel -> writeFully(channel, ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)));
  }

  static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      channel.write(bytes);
    }
  }
}
