/** The command {@code sae}: each subcommand is a thin layer over the public API. */
@NullMarked
package io.faithfulsae.cli;

import org.jspecify.annotations.NullMarked;
