#pragma once
// The cron syntax a second time, as plainly as possible and sharing no code with the module: each
// question is answered by reading the text again. Slow, for correct expressions only, without H.

#include <cstdint>
#include <string>
#include <vector>

namespace tidegate::cron::oracle {

struct Date {
  int year, month, day;
  int weekday;  // Sunday 0
  int length;   // days in the month
};
Date date_of(std::int64_t day);  // days since 1970-01-01

class NaiveCron {
 public:
  explicit NaiveCron(const std::string& text);

  const std::string& text() const { return text_; }
  // second_of_day in [0, 86400).
  bool matches_time(int second_of_day) const {
    return times_[static_cast<std::size_t>(second_of_day)];
  }
  // Remembers answers between 1990 and 2210.
  bool matches_day(std::int64_t day) const;
  bool matches_all_hours() const { return all_hours_; }

 private:
  bool reads_day(const Date& date) const;

  std::string text_;
  std::vector<std::string> fields_;  // second first
  std::vector<char> times_;          // of each second of the day
  bool all_hours_;
  mutable std::vector<signed char> days_;
};

}  // namespace tidegate::cron::oracle
