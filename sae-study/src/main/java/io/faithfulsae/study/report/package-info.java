/** Shared by pages and plots. */
@NullMarked
package io.faithfulsae.study.report;

import org.jspecify.annotations.NullMarked;
