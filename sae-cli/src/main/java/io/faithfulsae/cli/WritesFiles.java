package io.faithfulsae.cli;

import java.nio.file.Path;
import java.util.List;

/**
 * A command that writes its result once it is whole, into files of its own. While it runs no other
 * command writes them, and files that are there are replaced only with {@code --overwrite}: {@link
 * OutputGuard} sees to both before the work begins.
 */
interface WritesFiles {
  /** The files, as the options name them; none if this call resumes a folder. */
  List<Path> files();

  /** Whether they may replace others. */
  Overwriting overwriting();
}
