/** Shared by terminal programs: progress, Ctrl-C, and training with both. */
@NullMarked
package io.faithfulsae.cli.console;

import org.jspecify.annotations.NullMarked;
