package io.faithfulsae.internal;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;

/** Looks for SAEs below a folder. */
final class SaeFinder {
  private static final int MAX_DEPTH = 8;
  private static final int MAX_VISITED = 20_000;

  private SaeFinder() {}

  /**
   * SAE folders below a folder, in the order of their names; if there are none, files of torch.save
   * that are not a trainer's state. Directory links are not followed, and a huge tree is not
   * searched to its end.
   *
   * @param isSae whether a folder is an SAE's own
   */
  static List<Path> below(Path dir, Layout.Is isSae) throws IOException {
    List<Path> folders = new ArrayList<>();
    List<Path> files = new ArrayList<>();
    if (Files.isDirectory(dir)) {
      Files.walkFileTree(
          dir,
          EnumSet.noneOf(java.nio.file.FileVisitOption.class),
          MAX_DEPTH,
          new SimpleFileVisitor<>() {
            private int visited;

            @Override
            public FileVisitResult preVisitDirectory(Path sub, BasicFileAttributes attributes)
                throws IOException {
              if (!sub.equals(dir) && isSae.test(sub)) {
                folders.add(sub);
                return FileVisitResult.SKIP_SUBTREE;
              }
              return next();
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
              String name = String.valueOf(file.getFileName());
              if (SaeLayouts.isTorchFile(file)
                  && !name.matches(".*(state|optimizer|scheduler).*")) {
                files.add(file);
              }
              return next();
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) {
              return FileVisitResult.CONTINUE;
            }

            private FileVisitResult next() {
              return ++visited > MAX_VISITED ? FileVisitResult.TERMINATE : FileVisitResult.CONTINUE;
            }
          });
    }
    return (folders.isEmpty() ? files : folders).stream().sorted().toList();
  }
}
