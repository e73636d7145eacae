/** Benchmarks of whole SAE operations, and the data that other libraries are timed on. */
@NullMarked
package io.faithfulsae.benchmarks;

import org.jspecify.annotations.NullMarked;
