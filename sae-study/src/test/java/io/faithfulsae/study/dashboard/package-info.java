/** Tests of the dashboard. */
@NullMarked
package io.faithfulsae.study.dashboard;

import org.jspecify.annotations.NullMarked;
