package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Finds out in which library's layout an SAE is stored. */
final class SaeLayouts {
  private static final int LISTED = 12;

  private static final String DICTIONARY_LEARNING = "dictionary_learning";
  private static final String BATCH_TOP_K = "BatchTopK";
  private static final String SAELENS = "SAELens";

  /**
   * The layouts, in the order in which they are tried. Each is known by a file that the others do
   * not have; where only {@code cfg.json} is left, sparsify is known by its options.
   */
  private static final List<Layout> LAYOUTS =
      List.of(
          new Layout(SAELENS, has(SaeFolder.WEIGHTS_FILE), SaeConfigFile::read),
          new Layout("sparsify", SparsifyLayout::is, SparsifyLayout::read),
          new Layout(
              DICTIONARY_LEARNING,
              has(DictionaryLearningLayout.WEIGHTS_FILE),
              DictionaryLearningLayout::readFolder),
          new Layout(BATCH_TOP_K, has(BatchTopKLayout.WEIGHTS_FILE), BatchTopKLayout::read),
          new Layout("Gemma Scope", has(GemmaScopeLayout.NPZ), GemmaScopeLayout::readNpz),
          new Layout(
              "Gemma Scope 2",
              has(GemmaScopeLayout.SAFETENSORS),
              GemmaScopeLayout::readSafetensors),
          new Layout("Llama Scope", has(LlamaScopeLayout.CONFIG_FILE), LlamaScopeLayout::read),
          new Layout(SAELENS, has(SaeFolder.CONFIG_FILE), SaeConfigFile::read),
          new Layout("OpenAI's sparse_autoencoder", SaeLayouts::isOpenAi, OpenAiLayout::read),
          new Layout(
              BATCH_TOP_K,
              path -> isTorchFile(path) && path.endsWith(BatchTopKLayout.WEIGHTS_FILE),
              path -> BatchTopKLayout.read(path.resolveSibling(""))),
          new Layout(DICTIONARY_LEARNING, SaeLayouts::isTorchFile, DictionaryLearningLayout::read));

  private SaeLayouts() {}

  private record Layout(String name, Is is, Reader reader) {}

  /** An SAE that was found, not yet read. */
  private record Found(Layout layout, Path path) {}

  @FunctionalInterface
  private interface Is {
    boolean test(Path path) throws IOException;
  }

  @FunctionalInterface
  private interface Reader {
    SaeFile read(Path path) throws IOException;
  }

  /**
   * Reads the configuration of an SAE: a folder, a file of torch.save, or a folder of the Hugging
   * Face hub's cache that contains one.
   *
   * @throws SaeFormatException if it is none that can be read; the message names what it is, or
   *     lists the SAEs inside
   */
  static SaeFile open(Path asked) throws IOException {
    Found found = find(asked);
    return found.layout.reader.read(found.path);
  }

  /** Whose format an SAE is in. */
  static String writer(Path asked) throws IOException {
    return find(asked).layout.name;
  }

  private static Found find(Path asked) throws IOException {
    Path path = HubCache.resolve(asked);
    for (Layout layout : LAYOUTS) {
      if (layout.is.test(path)) {
        return new Found(layout, path);
      }
    }
    List<Path> inside = SaeFinder.below(path);
    if (inside.isEmpty()) { // reading it says which file is missing
      return new Found(LAYOUTS.get(0), path);
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

  /** Whether a folder is an SAE's own, in any layout. */
  static boolean isSae(Path dir) throws IOException {
    if (Files.isRegularFile(dir)) {
      return false;
    }
    for (Layout layout : LAYOUTS) {
      if (layout.is.test(dir)) {
        return true;
      }
    }
    return false;
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

  private static Is has(String file) {
    return dir -> Files.isRegularFile(dir.resolve(file));
  }

  private static String list(Path path, List<Path> inside) {
    String names =
        String.join(
            ", ", inside.stream().limit(LISTED).map(p -> path.relativize(p).toString()).toList());
    return names + (inside.size() > LISTED ? " and more" : "");
  }
}
