/** Tests of the computations behind the measurements. */
package io.faithfulsae.internal.metrics;
