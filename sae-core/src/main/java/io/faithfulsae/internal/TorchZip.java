package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;

/**
 * The zip that {@code torch.save} writes: {@code NAME/data.pkl} and one entry {@code NAME/data/KEY}
 * for each storage. PyTorch compresses none of them, so nothing here is decompressed: a file that
 * is larger inside than outside is rejected.
 */
final class TorchZip implements Closeable {
  /** An SAE's takes a few kilobytes, with an optimizer's state perhaps fifty. */
  private static final int MAX_PICKLE = 1 << 20;

  private static final String PICKLE = "/data.pkl";
  private static final String FETCH = "fetch it again, or ask for a safetensors file";

  private final Path file;
  private final ZipFile zip;
  private final String folder;

  private TorchZip(Path file, ZipFile zip, String folder) {
    this.file = file;
    this.zip = zip;
    this.folder = folder;
  }

  /**
   * Opens a file and checks its entries' sizes.
   *
   * @throws SaeFormatException if it is not such a zip, compressed, or of a big-endian machine
   */
  static TorchZip open(Path file) throws IOException {
    requireZip(file);
    ZipFile zip;
    try {
      zip = new ZipFile(file.toFile());
    } catch (ZipException | IllegalArgumentException e) {
      throw error(file, "a zip as torch.save writes it", e.getMessage(), FETCH);
    } catch (UnsupportedOperationException e) {
      throw error(file, "a file of the default file system", "another one's", "copy it there");
    }
    try {
      checkSizes(file, zip);
      TorchZip result = new TorchZip(file, zip, folder(file, zip));
      result.requireLittleEndian();
      return result;
    } catch (IllegalArgumentException e) { // a name that is not UTF-8
      zip.close();
      throw error(file, "entries with readable names", e.getMessage(), FETCH);
    } catch (IOException | RuntimeException e) {
      zip.close();
      throw e;
    }
  }

  /** The bytes of the pickle. */
  ByteBuffer pickle() throws IOException {
    return whole("data.pkl", MAX_PICKLE);
  }

  /**
   * Bytes of a storage.
   *
   * @throws SaeFormatException if there is no such storage
   */
  long storageBytes(String key) throws SaeFormatException {
    return entry("data/" + key).getSize();
  }

  /** Fills {@code into} with bytes of a storage; the caller knows that they exist. */
  void read(String key, long first, ByteBuffer into) throws IOException {
    read(entry("data/" + key), first, into);
  }

  @Override
  public void close() throws IOException {
    zip.close();
  }

  private void read(ZipEntry entry, long first, ByteBuffer into) throws IOException {
    byte[] bytes = into.array();
    int from = into.arrayOffset() + into.position();
    try (InputStream in = zip.getInputStream(entry)) {
      in.skipNBytes(first);
      if (in.readNBytes(bytes, from, into.remaining()) < into.remaining()) {
        throw new EOFException("it ends early");
      }
    } catch (ZipException | EOFException | IllegalArgumentException e) {
      throw new SaeFormatException(
          file,
          entry.getName(),
          Expected.message(entry.getSize() + " bytes", e.getMessage(), FETCH));
    }
  }

  private ByteBuffer whole(String name, int limit) throws IOException {
    ZipEntry entry = entry(name);
    if (entry.getSize() > limit) {
      throw error(
          file, name + " of at most " + limit + " bytes", entry.getSize() + " bytes", FETCH);
    }
    ByteBuffer bytes = ByteBuffer.allocate((int) entry.getSize());
    read(entry, 0, bytes);
    return bytes;
  }

  private ZipEntry entry(String name) throws SaeFormatException {
    ZipEntry entry = zip.getEntry(folder + "/" + name);
    if (entry == null) {
      throw error(file, "an entry " + PickleText.quoted(name), "none", FETCH);
    }
    return entry;
  }

  private void requireLittleEndian() throws IOException {
    if (zip.getEntry(folder + "/byteorder") != null) {
      String order = StandardCharsets.ISO_8859_1.decode(whole("byteorder", 16)).toString().strip();
      if (!order.equals("little")) {
        throw error(
            file,
            "byteorder little",
            PickleText.quoted(order),
            "save it again on a little-endian machine");
      }
    }
  }

  /** Before 1.6, PyTorch wrote pickles one after the other. */
  private static void requireZip(Path file) throws IOException {
    byte[] start;
    try (InputStream in = Files.newInputStream(file)) {
      start = in.readNBytes(4);
    }
    if (start.length < 4 || start[0] != 'P' || start[1] != 'K') {
      boolean pickle = start.length > 1 && start[0] == (byte) 0x80;
      throw error(
          file,
          "a zip as torch.save writes it since PyTorch 1.6",
          pickle ? "a bare pickle" : "another file",
          pickle ? "load it with torch.load and save it again" : FETCH);
    }
  }

  private static void checkSizes(Path file, ZipFile zip) throws IOException {
    long room = Files.size(file);
    for (ZipEntry entry : Collections.list(zip.entries())) {
      if (entry.getMethod() != ZipEntry.STORED || entry.getSize() != entry.getCompressedSize()) {
        throw error(
            file,
            "entries that are stored, as torch.save writes them",
            PickleText.quoted(entry.getName())
                + " of "
                + entry.getSize()
                + " bytes compressed to "
                + entry.getCompressedSize(),
            "load it with torch.load and save it again");
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

  private static String folder(Path file, ZipFile zip) throws IOException {
    List<String> pickles =
        Collections.list(zip.entries()).stream()
            .map(ZipEntry::getName)
            .filter(name -> name.endsWith(PICKLE) && name.indexOf('/') == name.lastIndexOf('/'))
            .toList();
    if (pickles.size() != 1) {
      throw error(
          file,
          "one entry NAME/data.pkl, as torch.save writes it",
          pickles.size(),
          "save a state dict with torch.save");
    }
    return pickles.get(0).substring(0, pickles.get(0).length() - PICKLE.length());
  }

  private static SaeFormatException error(
      Path file, String expected, @Nullable Object got, String remedy) {
    return new SaeFormatException(file, "zip", Expected.message(expected, got, remedy));
  }
}
