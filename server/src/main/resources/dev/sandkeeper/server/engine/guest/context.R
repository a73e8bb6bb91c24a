# The process that keeps the variables of R code. The agent starts it as the sandbox's user, in the home
# folder, and sends it one cell after the other over descriptor 3. R 4.0 or newer, base packages only.
#
# R opens no socket that is there already, so a `cat` stands before and behind it. What code breaks is its
# own context, which the agent then replaces. Nothing of this stands in the user's environment, and what is
# used of R's base is copied, as a function of the user's may have the name of any of it.
local({
  REQUEST <- "trap '' INT; exec cat <&3"
  REPLY <- "trap '' INT; exec cat >&3"
  STARTED <- 2L
  RESULT <- 5L
  ERROR <- 6L
  FINISHED <- 7L
  FAILED <- 1L

  MAX_RESULT_CHARS <- 128 * 1024
  MAX_TRACEBACK_CHARS <- 32 * 1024
  MAX_VALUE_CHARS <- 8 * 1024
  MAX_NAME_CHARS <- 256L
  MAX_CALLS <- 100L
  MAX_BUNDLE_BYTES <- 1000 * 1000
  MAX_PICTURES <- 64L
  MAX_CELL_BYTES <- 8 * 1024 * 1024
  MAX_ROWS <- 1000L
  MAX_COLUMNS <- 100L
  MAX_CELL_CHARS <- 1000L
  TABLE <- "application/vnd.sandkeeper.table.v1+json"

  # The call in which the code of a cell runs.
  OUTERMOST <- quote(eval(expression, globalenv()))

  requests <- pipe(REQUEST, "rb")
  replies <- pipe(REPLY, "wb")
  number <- 0L
  pictures <- tempfile("plots")
  dir.create(pictures)

  # --- The conversation with the agent -----------------------------------------------------------

  big <- function(value) writeBin(as.integer(value), raw(), size = 4L, endian = "big")

  small <- function(bytes) readBin(bytes, "integer", size = 4L, endian = "big")

  bytes <- function(value) if (is.raw(value)) value else charToRaw(enc2utf8(value))

  # Each field goes after its length. An exit code stands below the number of the cell.
  send <- function(type, number, code = 0L, fields = list()) {
    parts <- lapply(fields, function(field) {
      content <- bytes(field)
      c(big(length(content)), content)
    })
    payload <- as.raw(unlist(parts))
    offset <- c(as.raw(0:0), as.raw(c(0, 0)), big(number), as.raw(code))
    writeBin(c(big(length(payload)), as.raw(type), offset, payload), replies)
    flush(replies)
  }

  # Returns the value of the field `source` of the next request.
  receive <- function() {
    header <- readBin(requests, "raw", 13L)
    if (length(header) < 13L) {
      quit("no", 0L, FALSE)
    }
    left <- readBin(requests, "raw", small(header[1:4]))
    at <- 0L
    field <- function() {
      size <- small(left[at + 1:4])
      value <- left[at + 4L + seq_len(size)]
      at <<- at + 4L + size
      rawToChar(value[value != 0])
    }
    repeat {
      name <- field()
      value <- field()
      if (name == "source") {
        Encoding(value) <- "UTF-8"
        return(value)
      }
    }
  }

  # Bounds a text, keeping both ends: an error's cause is at one of them.
  cut <- function(text, most) {
    text <- paste(text, collapse = "\n")
    if (is.na(text) || nchar(text, "bytes") <= most) {
      return(text)
    }
    text <- iconv(text, "UTF-8", "UTF-8", sub = "byte")
    half <- most %/% 2
    size <- nchar(text)
    if (size <= most) text else paste0(substr(text, 1, half), "\n...\n", substr(text, size - half, size))
  }

  # --- Results -----------------------------------------------------------------------------------

  show <- function(value) {
    text <- utils::capture.output(if (isS4(value)) methods::show(value) else print(value))
    text <- cut(text, MAX_RESULT_CHARS)
    fields <- list("text/plain", text)
    if (is.data.frame(value)) {
      room <- MAX_BUNDLE_BYTES - nchar(enc2utf8(text), "bytes")
      more <- tryCatch(representations(value, room), error = function(problem) list())
      fields <- c(fields, more)
    }
    send(RESULT, 0L, fields = fields)
  }

  # A data frame's first rows and columns as data and as HTML, as far as there is room.
  representations <- function(frame, room) {
    rows <- min(nrow(frame), MAX_ROWS)
    part <- frame[seq_len(rows), seq_len(min(ncol(frame), MAX_COLUMNS)), drop = FALSE]
    names <- substr(names(part), 1L, MAX_CELL_CHARS)
    types <- vapply(part, function(column) class(column)[1L], "")
    index <- attr(part, "row.names")
    index <- if (is.character(index)) index else seq_len(rows)
    columns <- sprintf("{\"name\":%s,\"type\":%s}", quoted(names), quoted(types))
    table <- sprintf(
      "{\"columns\":[%s],\"index\":[%s],\"rows\":[%s],\"row_count\":%d,\"column_count\":%d}",
      paste(columns, collapse = ","), paste(json(index), collapse = ","),
      paste(lines(lapply(part, json), "[", ",", "]", rows), collapse = ","),
      nrow(frame), ncol(frame)
    )
    texts <- lapply(part, function(column) escaped(substr(format(column), 1L, MAX_CELL_CHARS)))
    html <- paste0(
      "<table>\n<tr><th></th>", paste0("<th>", escaped(names), "</th>", collapse = ""), "</tr>\n",
      paste0(lines(c(list(escaped(index)), texts), "<tr><td>", "</td><td>", "</td></tr>\n", rows), collapse = ""),
      "</table>"
    )
    found <- list(TABLE, table, "text/html", html)
    if (sum(nchar(c(table, html), "bytes")) <= room) found else found[1:2][nchar(table, "bytes") <= room]
  }

  # Joins what columns have in each row.
  lines <- function(columns, before, between, after, rows) {
    if (rows == 0L) {
      return(character())
    }
    if (length(columns) == 0L) {
      return(rep(paste0(before, after), rows))
    }
    paste0(before, do.call(paste, c(unname(columns), sep = between)), after)
  }

  json <- function(column) {
    if (is.logical(column)) {
      return(ifelse(is.na(column), "null", ifelse(column, "true", "false")))
    }
    if (is.numeric(column) && !is.object(column)) {
      return(ifelse(is.finite(column), format(column, digits = 15L, trim = TRUE), "null"))
    }
    texts <- if (is.list(column)) vapply(column, function(value) toString(value), "") else as.character(column)
    ifelse(is.na(texts), "null", quoted(substr(texts, 1L, MAX_CELL_CHARS)))
  }

  quoted <- function(texts) {
    texts <- gsub("([\"\\\\])", "\\\\\\1", enc2utf8(as.character(texts)))
    texts <- gsub("\n", "\\\\n", texts, fixed = FALSE)
    paste0("\"", gsub("[[:cntrl:]]", " ", texts), "\"")
  }

  escaped <- function(texts) {
    texts <- gsub("&", "&amp;", enc2utf8(as.character(texts)), fixed = TRUE)
    gsub(">", "&gt;", gsub("<", "&lt;", texts, fixed = TRUE), fixed = TRUE)
  }

  # --- Plots -------------------------------------------------------------------------------------

  # What code plots on, unless it opens a device of its own: the pages are results at the cell's end.
  options(device = function(...) {
    if (capabilities("cairo")) {
      name <- file.path(pictures, "%03d.png")
      grDevices::png(name, width = 800, height = 600, res = 96, type = "cairo")
    } else {
      grDevices::pdf(NULL)
    }
    own <<- c(own, grDevices::dev.cur())
  })
  own <- integer()

  show_plots <- function() {
    for (device in intersect(own, grDevices::dev.list())) {
      grDevices::dev.off(device)
    }
    own <<- integer()
    files <- list.files(pictures, full.names = TRUE)
    files <- files[file.size(files) > 0]
    fit <- file.size(files) <= MAX_BUNDLE_BYTES & seq_along(files) <= MAX_PICTURES
    fit <- fit & cumsum(ifelse(fit, file.size(files), 0)) <= MAX_CELL_BYTES
    for (file in files[fit]) {
      picture <- readBin(file, "raw", file.size(file))
      send(RESULT, 0L, fields = list("text/plain", "<plot>", "image/png", picture))
    }
    if (!all(fit)) {
      cat("Plots are left out:", sum(!fit), "of", length(files), "are too large or too many.\n", file = stderr())
    }
    unlink(files)
  }

  # --- Cells -------------------------------------------------------------------------------------

  # Runs a cell and tells its result or error; returns the exit code.
  run <- function(source) {
    name <- paste0("cell-", number)
    calls <- NULL
    problem <- withRestarts(
      tryCatch(
        withCallingHandlers(
          allowInterrupts({
            send(STARTED, number)
            evaluate(source, name)
            NULL
          }),
          error = function(condition) {
            calls <<- sys.calls()
          },
          warning = function(condition) {
            if (identical(conditionCall(condition), OUTERMOST) && identical(getOption("warn"), 1L)) {
              cat("Warning: ", conditionMessage(condition), "\n", sep = "", file = stderr())
              invokeRestart("muffleWarning")
            }
          }
        ),
        error = function(condition) condition,
        interrupt = function(condition) condition
      ),
      abort = function() NULL
    )
    plots <- tryCatch(allowInterrupts(show_plots()), error = identity, interrupt = identity)
    flush(stdout())
    flush(stderr())
    if (is.null(problem)) {
      return(0L)
    }
    tell(problem, calls)
    FAILED
  }

  # What runs, as its place is known even where no function is called.
  running <- NULL

  evaluate <- function(source, name) {
    file <- srcfilecopy(name, strsplit(source, "\n", fixed = TRUE)[[1L]])
    value <- NULL
    for (expression in parsed(source, file)) {
      running <<- expression
      value <- withVisible(eval(expression, globalenv()))
    }
    if (!is.null(value) && value$visible) {
      show(value$value)
    }
  }

  # Each expression as an expression vector with its place, which calls below it have from there.
  parsed <- function(source, file) {
    all <- tryCatch(
      parse(text = source, srcfile = file, keep.source = TRUE, encoding = "UTF-8"),
      error = function(condition) {
        stop(structure(
          class = c("parseError", "error", "condition"),
          list(message = conditionMessage(condition), call = NULL)
        ))
      }
    )
    lapply(seq_along(all), function(i) all[i])
  }

  tell <- function(problem, calls) {
    if (inherits(problem, "interrupt")) {
      value <- "the code was interrupted by SIGINT"
      send(ERROR, 0L, fields = list("Interrupted", value, paste0("Interrupted: ", value)))
      return(invisible())
    }
    value <- tryCatch(conditionMessage(problem), error = function(other) "(its message could not be made)")
    value <- cut(value, MAX_VALUE_CHARS)
    heading <- "Error"
    call <- conditionCall(problem)
    if (is.call(call) && !identical(call, OUTERMOST)) {
      heading <- paste0("Error in ", substr(deparse(call, nlines = 1L)[1L], 1L, 200L), " ")
    }
    text <- c(paste0(heading, ": ", value), trace(calls))
    send(ERROR, 0L, fields = list(substr(class(problem)[1L], 1L, MAX_NAME_CHARS), value, cut(text, MAX_TRACEBACK_CHARS)))
  }

  # What `traceback()` would show: the last call first, each with its place in a cell.
  trace <- function(calls) {
    mine <- which(vapply(calls, identical, NA, OUTERMOST))
    if (length(mine) == 0L) {
      # It could not be parsed.
      return(character())
    }
    # Behind the evaluation of the cell, which are two calls, and before what handles the error.
    calls <- calls[-seq_len(mine[1L] + 1L)]
    handler <- vapply(calls, function(call) identical(call[[1L]], quote(.handleSimpleError)), NA)
    if (any(handler)) {
      calls <- calls[seq_len(which(handler)[1L] - 1L)]
    } else if (length(calls) > 0L && is.function(calls[[length(calls)]][[1L]])) {
      calls <- calls[-length(calls)]
    }
    if (length(calls) == 0L) {
      return(described(1L, running[[1L]], attr(running, "srcref")[[1L]]))
    }
    calls <- rev(utils::tail(calls, MAX_CALLS))
    vapply(seq_along(calls), function(i) {
      described(length(calls) - i + 1L, calls[[i]], attr(calls[[i]], "srcref"))
    }, "")
  }

  described <- function(number, call, place) {
    text <- substr(deparse(call, nlines = 1L)[1L], 1L, 200L)
    at <- if (is.null(place)) "" else paste0(" at ", attr(place, "srcfile")$filename, ":", place[1L])
    paste0(number, ": ", text, at)
  }

  # --- The start ---------------------------------------------------------------------------------

  # Warnings are told when they come: there is no prompt before which they would be.
  options(warn = 1L, keep.source = TRUE)
  suspendInterrupts(repeat {
    source <- receive()
    number <- number + 1L
    # An interrupt that came late was for the cell before.
    tryCatch(allowInterrupts(NULL), interrupt = function(condition) NULL)
    code <- run(source)
    send(FINISHED, number, code)
  })
}, envir = list2env(mget(ls(baseenv(), all.names = TRUE), baseenv()), parent = globalenv()))
