/** Tests of the measurements, against PyTorch, SciPy and cases worked by hand. */
package io.faithfulsae.metrics;
