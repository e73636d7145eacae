package io.faithfulsae.cli;

import java.nio.file.Path;
import java.util.List;

/**
 * A command that writes its files once the result is complete. While it runs, no other command
 * writes them, and existing files are only replaced with {@code --overwrite}: {@link OutputGuard}
 * checks both before the work starts.
 */
interface WritesFiles {
  /** The files, as set by the options; none if this call resumes a folder. */
  List<Path> files();

  /** Whether existing files may be replaced. */
  OverwriteOption overwriting();
}
