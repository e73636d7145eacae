/** Tests of the computations behind the measurements. */
package io.faithfulsae.metrics.internal;
