package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;

/** Finds out in which library's layout an SAE is stored. */
final class SaeLayouts {
  private static final int LISTED = 12;

  /**
   * The layouts, in the order in which they are tried. Each is known by a file that the others do
   * not have; where only {@code cfg.json} is left, sparsify is known by its options.
   */
  private static final List<Layout> LAYOUTS =
      List.of(
          new Layout(has(SaeFolder.WEIGHTS_FILE), SaeConfigFile::read),
          new Layout(SparsifyLayout::is, SparsifyLayout::read),
          new Layout(
              has(DictionaryLearningLayout.WEIGHTS_FILE), DictionaryLearningLayout::readFolder),
          new Layout(has(BatchTopKLayout.WEIGHTS_FILE), BatchTopKLayout::read),
          new Layout(has(GemmaScopeLayout.NPZ), GemmaScopeLayout::readNpz),
          new Layout(has(GemmaScopeLayout.SAFETENSORS), GemmaScopeLayout::readSafetensors),
          new Layout(has(LlamaScopeLayout.CONFIG_FILE), LlamaScopeLayout::read),
          new Layout(has(SaeFolder.CONFIG_FILE), SaeConfigFile::read),
          new Layout(SaeLayouts::isTorchFile, SaeLayouts::readTorchFile));

  private SaeLayouts() {}

  private record Layout(Predicate<Path> is, Reader reader) {}

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
    Path path = HubCache.resolve(asked);
    for (Layout layout : LAYOUTS) {
      if (layout.is.test(path)) {
        return layout.reader.read(path);
      }
    }
    List<Path> inside = SaeFinder.below(path);
    if (inside.isEmpty()) {
      return SaeConfigFile.read(path); // says which file is missing
    }
    if (inside.size() == 1 && HubCache.contains(path)) {
      return open(inside.get(0));
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
  static boolean isSae(Path dir) {
    return !Files.isRegularFile(dir) && LAYOUTS.stream().anyMatch(layout -> layout.is.test(dir));
  }

  /** Whether it is a file that torch.save may have written. */
  static boolean isTorchFile(Path path) {
    return Files.isRegularFile(path) && path.toString().endsWith(".pt");
  }

  private static SaeFile readTorchFile(Path path) throws IOException {
    boolean openAi;
    try (TorchFile file = TorchFile.open(path)) {
      openAi = OpenAiLayout.is(file.root());
    }
    if (openAi) {
      return OpenAiLayout.read(path);
    }
    return path.endsWith(BatchTopKLayout.WEIGHTS_FILE)
        ? BatchTopKLayout.read(path.resolveSibling(""))
        : DictionaryLearningLayout.read(path);
  }

  private static Predicate<Path> has(String file) {
    return dir -> Files.isRegularFile(dir.resolve(file));
  }

  private static String list(Path path, List<Path> inside) {
    String names =
        String.join(
            ", ", inside.stream().limit(LISTED).map(p -> path.relativize(p).toString()).toList());
    return names + (inside.size() > LISTED ? " and more" : "");
  }
}
