/**
 * Files: safetensors, JSON with a checksum, files that appear whole or not at all, and locks on
 * output folders.
 */
@NullMarked
package io.faithfulsae.io;

import org.jspecify.annotations.NullMarked;
