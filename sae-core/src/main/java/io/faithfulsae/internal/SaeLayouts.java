package io.faithfulsae.internal;

import io.faithfulsae.SaeFormat;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Finds out in which format an SAE is stored. */
final class SaeLayouts {
  private static final int LISTED = 12;

  static final Layout SAELENS =
      new Layout(
          "SAELens", has(SaeFolder.WEIGHTS_FILE), SaeConfigFile::read, SaeFolder::writeSaeLens);
  static final Layout SPARSIFY =
      new Layout(
          "sparsify",
          has(SparsifyLayout.WEIGHTS_FILE),
          SparsifyLayout::read,
          SaeFolder::writeSparsify);

  /** Each is known by a file that the others do not have. */
  private static final List<Layout> BUILT_IN =
      List.of(
          SAELENS,
          SPARSIFY,
          new Layout(
              "dictionary_learning",
              SaeLayouts::isDictionaryLearning,
              DictionaryLearningLayout::readFolderOrFile,
              SaeFolder::writeDictionaryLearning),
          new Layout("BatchTopK", SaeLayouts::isBatchTopK, BatchTopKLayout::readFolderOrFile),
          new Layout("Gemma Scope", has(GemmaScopeLayout.NPZ), GemmaScopeLayout::readNpz),
          new Layout(
              "Gemma Scope 2",
              has(GemmaScopeLayout.SAFETENSORS),
              GemmaScopeLayout::readSafetensors),
          new Layout("Llama Scope", has(LlamaScopeLayout.CONFIG_FILE), LlamaScopeLayout::read),
          new Layout("OpenAI's sparse_autoencoder", SaeLayouts::isOpenAi, OpenAiLayout::read));

  private SaeLayouts() {}

  /** An SAE's configuration, and whose format it is in. */
  record Opened(SaeFormat format, SaeFormat.Stored stored) {}

  /** An SAE that was found, not yet read. */
  private record Found(SaeFormat format, Path path) {
    Opened open() throws IOException {
      return new Opened(format, format.open(path));
    }
  }

  /** The built-in formats, in the order in which they are tried. */
  static List<SaeFormat> builtIn() {
    return List.copyOf(BUILT_IN);
  }

  /**
   * Reads the configuration of an SAE: a folder, a file of torch.save, or a folder of the Hugging
   * Face hub's cache that contains one; or what a format from another jar recognizes.
   *
   * @throws SaeFormatException if it is none that can be read; the message names what it is, or
   *     lists the SAEs inside
   */
  static Opened open(Path asked) throws IOException {
    Found found = find(asked);
    try {
      return found.open();
    } catch (OtherArchitectureException e) {
      SaeFormat added = added(found.path, AddedFormat.all());
      if (added == null) {
        throw e;
      }
      return new Found(added, found.path).open();
    }
  }

  private static Found find(Path asked) throws IOException {
    Path path = HubCache.resolve(asked);
    Layout builtIn = builtIn(path);
    if (builtIn != null) {
      return new Found(builtIn, path);
    }
    List<AddedFormat> others = AddedFormat.all();
    SaeFormat format = others(path, others);
    if (format != null) {
      return new Found(format, path);
    }
    List<Path> inside = SaeFinder.below(path, sub -> isSae(sub, others));
    if (inside.isEmpty()) { // reading it says which file is missing
      return new Found(SAELENS, path);
    }
    if (inside.size() == 1 && HubCache.contains(path)) {
      return find(inside.get(0));
    }
    throw new SaeFormatException(
        asked,
        "layout",
        Expected.message(
            "the folder or file of one SAE",
            "a folder with " + inside.size() + " inside: " + list(path, inside),
            "add the path of one of them"));
  }

  private static boolean isSae(Path dir, List<AddedFormat> added) throws IOException {
    return builtIn(dir) != null || others(dir, added) != null;
  }

  private static @Nullable Layout builtIn(Path path) throws IOException {
    for (Layout layout : BUILT_IN) {
      if (layout.recognizes(path)) {
        return layout;
      }
    }
    return null;
  }

  /** A format from another jar; or a built-in one whose weights are missing, as reading it says. */
  private static @Nullable SaeFormat others(Path path, List<AddedFormat> added) throws IOException {
    SaeFormat format = added(path, added);
    if (format != null) {
      return format;
    }
    if (SparsifyLayout.isConfigured(path)) {
      return SPARSIFY;
    }
    return has(SaeFolder.CONFIG_FILE).test(path) ? SAELENS : null;
  }

  private static @Nullable SaeFormat added(Path path, List<AddedFormat> added) throws IOException {
    List<AddedFormat> found = new ArrayList<>();
    if (Files.exists(path)) {
      for (AddedFormat format : added) {
        if (format.recognizes(path)) {
          found.add(format);
        }
      }
    }
    if (found.size() > 1) {
      throw new SaeFormatException(
          path,
          "format",
          Expected.message(
              "one format that recognizes it",
              String.join(" and ", found.stream().map(AddedFormat::origin).toList()),
              "remove one of them from the class path"));
    }
    return found.isEmpty() ? null : found.get(0);
  }

  /** Whether it is a file that torch.save may have written. */
  static boolean isTorchFile(Path path) {
    return Files.isRegularFile(path) && path.toString().endsWith(".pt");
  }

  private static boolean isOpenAi(Path path) throws IOException {
    if (!isTorchFile(path)) {
      return false;
    }
    try (TorchFile file = TorchFile.open(path)) {
      return OpenAiLayout.is(file.root());
    }
  }

  private static boolean isBatchTopK(Path path) throws IOException {
    return has(BatchTopKLayout.WEIGHTS_FILE).test(path)
        || (isTorchFile(path) && path.endsWith(BatchTopKLayout.WEIGHTS_FILE) && !isOpenAi(path));
  }

  private static boolean isDictionaryLearning(Path path) throws IOException {
    return has(DictionaryLearningLayout.WEIGHTS_FILE).test(path)
        || (isTorchFile(path) && !path.endsWith(BatchTopKLayout.WEIGHTS_FILE) && !isOpenAi(path));
  }

  private static Layout.Is has(String file) {
    return dir -> Files.isRegularFile(dir.resolve(file));
  }

  private static String list(Path path, List<Path> inside) {
    String names =
        String.join(
            ", ", inside.stream().limit(LISTED).map(p -> path.relativize(p).toString()).toList());
    return names + (inside.size() > LISTED ? " and more" : "");
  }
}
