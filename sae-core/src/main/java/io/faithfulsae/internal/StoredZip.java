package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.io.SaeFormatException;
import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;

/**
 * A zip of arrays whose entries are stored, not compressed. Nothing is decompressed: a file that is
 * larger inside than outside is rejected.
 */
final class StoredZip implements Closeable {
  static final String FETCH = "fetch it again, or ask for a safetensors file";

  private final Path file;
  private final ZipFile zip;

  private StoredZip(Path file, ZipFile zip) {
    this.file = file;
    this.zip = zip;
  }

  /**
   * Opens a file and checks its entries' sizes.
   *
   * @param writer the function that writes such files, for messages
   * @throws SaeFormatException if it is not such a zip, or compressed
   */
  static StoredZip open(Path file, String writer, String again) throws IOException {
    ZipFile zip;
    try {
      zip = new ZipFile(RegularFile.require(file).toFile());
    } catch (ZipException | IllegalArgumentException e) {
      throw error(file, "a zip as " + writer + " writes it", e.getMessage(), FETCH);
    } catch (UnsupportedOperationException e) {
      throw error(file, "a file of the default file system", "another one's", "copy it there");
    }
    try {
      StoredZip result = new StoredZip(file, zip);
      result.checkSizes(writer, again);
      return result;
    } catch (IllegalArgumentException e) { // a name that is not UTF-8
      zip.close();
      throw error(file, "entries with readable names", e.getMessage(), FETCH);
    } catch (IOException | RuntimeException e) {
      zip.close();
      throw e;
    }
  }

  /** Names of the entries. */
  List<String> names() {
    return Collections.list(zip.entries()).stream().map(ZipEntry::getName).toList();
  }

  /** Whether there is an entry of this name. */
  boolean has(String name) {
    return zip.getEntry(name) != null;
  }

  /**
   * Bytes of an entry.
   *
   * @throws SaeFormatException if there is no such entry
   */
  long bytes(String name) throws SaeFormatException {
    return entry(name).getSize();
  }

  /**
   * Fills {@code into}, which has an array, with bytes of an entry; the caller knows they exist.
   */
  void read(String name, long first, ByteBuffer into) throws IOException {
    ZipEntry entry = entry(name);
    int from = into.arrayOffset() + into.position();
    try (InputStream in = zip.getInputStream(entry)) {
      in.skipNBytes(first);
      if (in.readNBytes(into.array(), from, into.remaining()) < into.remaining()) {
        throw new EOFException("it ends early");
      }
    } catch (ZipException | EOFException | IllegalArgumentException e) {
      throw new SaeFormatException(
          file, name, Expected.message(entry.getSize() + " bytes", e.getMessage(), FETCH));
    }
  }

  @Override
  public void close() throws IOException {
    zip.close();
  }

  private ZipEntry entry(String name) throws SaeFormatException {
    ZipEntry entry = zip.getEntry(name);
    if (entry == null) {
      String last = name.substring(name.indexOf('/') + 1);
      throw error(file, "an entry " + PickleText.quoted(last), "none", FETCH);
    }
    return entry;
  }

  private void checkSizes(String writer, String again) throws IOException {
    long room = Files.size(file);
    for (ZipEntry entry : Collections.list(zip.entries())) {
      if (entry.getMethod() != ZipEntry.STORED || entry.getSize() != entry.getCompressedSize()) {
        throw error(
            file,
            "entries that are stored, as " + writer + " writes them",
            PickleText.quoted(entry.getName())
                + " of "
                + entry.getSize()
                + " bytes compressed to "
                + entry.getCompressedSize(),
            again);
      }
      room -= entry.getSize();
      if (entry.getSize() < 0 || room < 0) {
        throw error(
            file,
            "entries that together fit in the file's " + Files.size(file) + " bytes",
            "more with " + PickleText.quoted(entry.getName()) + " of " + entry.getSize(),
            FETCH);
      }
    }
  }

  static SaeFormatException error(Path file, String expected, @Nullable Object got, String remedy) {
    return new SaeFormatException(file, "zip", Expected.message(expected, got, remedy));
  }
}
