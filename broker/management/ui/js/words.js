// The texts of the pages in Chinese, by the English ones. What the broker itself says (refusals, the doctor) is English.
export const words = {
  // the bar
  "Overview": "概览", "Connections": "连接", "Channels": "信道", "Exchanges": "交换机", "Queues": "队列", "Streams": "流", "Bindings": "绑定", "Topology": "拓扑", "Route": "路由",
  "Doctor": "诊断", "Admin": "管理", "Search": "搜索", "Search  /": "搜索  /", "Pages": "页面", "Log in": "登录", "Log out": "退出", "User": "用户", "Password": "密码",
  "Wrong user or password.": "用户名或密码错误。", "virtual host": "虚拟主机", "all virtual hosts": "所有虚拟主机", "refresh": "刷新", "every {time}": "每 {time}", "paused": "暂停",
  "colours": "配色", "as the system": "跟随系统", "light": "浅色", "dark": "深色", "language": "语言", "Memory alarm: publishers are held up until consumers have made room.": "内存告警：在消费者腾出空间之前，发布者会被阻塞。",
  "Disk alarm: publishers are held up until the disk has room again.": "磁盘告警：在磁盘重新有空间之前，发布者会被阻塞。",
  "The broker does not answer. This page goes on trying.": "服务器没有响应，本页会继续重试。", "There is no such thing, or no more.": "没有这个对象，或者它已经不存在了。",
  // everywhere
  "(default exchange)": "（默认交换机）", "nothing here": "这里没有内容", "done": "完成", "Cancel": "取消", "Add": "添加", "Delete": "删除", "Clear": "清除", "Set": "设置", "Save": "保存", "Close": "关闭",
  "yes": "是", "no": "否", "Name": "名称", "Virtual host": "虚拟主机", "Virtual hosts": "虚拟主机", "Type": "类型", "Features": "特性", "State": "状态", "Arguments": "参数", "Details": "详情", "What": "对象",
  "{time} ago": "{time} 前", "{count} messages": "{count} 条消息", "exchange": "交换机", "Exchange": "交换机", "Queue": "队列", "Connection": "连接", "Channel": "信道", "Policy": "策略",
  "This is no JSON: {why}": "这不是 JSON：{why}", "A JSON object is wanted, such as {example}": "需要一个 JSON 对象，例如 {example}",
  "transient: gone after a restart": "非持久：重启后消失", "deleted when nobody uses it": "无人使用时自动删除", "belongs to one connection": "只属于一个连接", "internal: clients cannot publish to it": "内部：客户端不能向它发布",
  "single active consumer": "单一活跃消费者", "policy": "策略", "operator policy": "运维策略",
  // overview
  "running for {time}": "已运行 {time}", "Ready": "待投递", "Unacknowledged": "未确认", "Total": "总计", "Published": "发布", "Delivered": "投递", "Acknowledged": "确认", "Consumers": "消费者",
  "Charts of the last": "图表范围：最近", "a minute": "一分钟", "ten minutes": "十分钟", "an hour": "一小时", "eight hours": "八小时", "a day": "一天", "Messages in queues": "队列中的消息", "Messages per second": "每秒消息数", "Messages": "消息",
  "Machine": "机器", "Memory": "内存", "Free disk": "可用磁盘", "{free} free, alarm below {limit}": "可用 {free}，低于 {limit} 告警", "File descriptors": "文件描述符", "Coming and going": "变动", "Per second": "每秒", "Since the start": "启动以来",
  "Connections opened": "打开的连接", "Connections closed": "关闭的连接", "Channels opened": "打开的信道", "Channels closed": "关闭的信道", "Queues declared": "声明的队列", "Queues deleted": "删除的队列",
  "Listening on": "监听", "Protocol": "协议", "Address": "地址", "Port": "端口", "nothing measured yet": "还没有测量数据",
  "the fullest queues, and why they do not move": "消息最多的队列，以及它们为什么不动", "No queue holds messages.": "没有队列积压消息。", "The doctor says": "诊断结果",
  // lists
  "Filter": "过滤", "Filter by name": "按名称过滤", "Regex": "正则", "{found} of {all}": "{found} / 共 {all}", "previous page": "上一页", "next page": "下一页", "From client": "来自客户端", "To client": "发往客户端",
  "Mode": "模式", "publisher confirms": "发布确认", "transactions": "事务", "Prefetch": "预取", "Unconfirmed": "未确认发布", "Published in": "流入", "To queues": "流向队列",
  "messages wait and nobody takes them": "有消息等待，但没有消费者", "Bytes": "字节", "Kept": "保留", "up to {size}": "最多 {size}", "for {age}": "{age} 之内", "everything": "全部", "Readers": "读者", "From exchange": "来源交换机", "Routing key": "路由键", "To": "目标",
  // adding
  "Add an exchange": "添加交换机", "Alternate exchange": "备用交换机", "gets what no binding takes": "接收没有绑定匹配的消息", "Durable": "持久", "Auto-delete": "自动删除", "Internal": "内部", "More arguments (JSON)": "其他参数（JSON）",
  "Add a queue": "添加队列", "Add a stream": "添加流", "Single active consumer": "单一活跃消费者", "Limits and dead letters": "限制与死信", "Messages live for (ms)": "消息存活时间（毫秒）", "Queue goes when unused for (ms)": "队列闲置多久后删除（毫秒）",
  "At most so many messages": "最多消息数", "At most so many bytes": "最多字节数", "Priorities up to": "最高优先级", "Deliveries of a message at most": "一条消息最多投递次数", "Dead letters go to exchange": "死信交换机", "with routing key": "死信路由键", "When full": "满了以后",
  "x-message-ttl": "x-message-ttl", "x-expires": "x-expires", "x-max-length": "x-max-length", "x-max-length-bytes": "x-max-length-bytes", "x-max-priority": "x-max-priority", "x-delivery-limit": "x-delivery-limit",
  "x-dead-letter-exchange": "x-dead-letter-exchange", "x-dead-letter-routing-key": "x-dead-letter-routing-key", "x-overflow": "x-overflow",
  // connections and channels
  "Consumer tag": "消费者标签", "nobody consumes": "没有消费者", "Close the connection {name}? Its client sees error 320.": "关闭连接 {name}？客户端会收到错误 320。", "Bytes per second": "每秒字节数", "From": "来自", "Encrypted": "加密", "Login by": "登录方式", "Since": "开始于",
  "Heartbeat": "心跳", "off": "关闭", "Frames up to": "最大帧", "Received": "已接收", "Sent": "已发送", "What the client says of itself": "客户端属性", "neither confirms nor transactions": "既无发布确认也无事务", "without limit": "不限", "Prefetch of the channel": "信道预取", "Uncommitted": "未提交",
  // bindings
  "the bindings as a picture": "绑定示意图", "Unbind": "解除绑定", "Remove the binding of {source} to {destination} with the key “{key}”?": "解除 {source} 到 {destination}、路由键为“{key}”的绑定？", "Arguments (JSON)": "参数（JSON）", "Add a binding": "添加绑定",
  // messages
  "Publish a message": "发布消息", "Content type": "内容类型", "Persistent": "持久化", "Payload": "内容", "Headers (JSON)": "消息头（JSON）", "More properties (JSON)": "其他属性（JSON）", "Publish": "发布", "published": "已发布", "published, but no queue took it": "已发布，但没有队列接收",
  "redelivered": "重新投递", "no message": "没有消息", "Filter by content": "按内容过滤", "How many": "数量", "put them back, marked redelivered": "放回队列，标记为重新投递", "remove them": "移除", "reject them: dead letters, or gone": "拒绝：成为死信或丢弃",
  "Look at messages": "查看消息", "nothing changes: they stay as they are": "不做任何改变", "Afterwards": "之后", "Get messages": "获取消息", "Move messages": "移动消息", "To queue": "目标队列", "Move": "移动", "{count} messages moved": "移动了 {count} 条消息", "{to} refuses messages: {moved} were moved": "{to} 拒绝接收：已移动 {moved} 条",
  // one queue, one exchange
  "Purge": "清空", "Remove all {count} messages that wait in {name}? They are lost.": "清空 {name} 中等待的 {count} 条消息？它们将会丢失。", "Delete the queue {name} with its {count} messages? They are lost.": "删除队列 {name} 及其 {count} 条消息？它们将会丢失。", "Delete the queue {name}? It is empty.": "删除队列 {name}？它是空的。",
  "Exclusive": "独占", "Operator policy": "运维策略", "What the policies ask": "策略的要求", "Bytes ready": "待投递字节", "Bytes unacknowledged": "未确认字节", "Unchanged since": "上次变化", "Where does a message go?": "消息会去哪里？",
  "Delete the exchange {name} with its {count} bindings?": "删除交换机 {name} 及其 {count} 个绑定？", "Every queue is bound to it with its own name; these bindings cannot be changed.": "每个队列都以自己的名称绑定到它，这些绑定不能更改。",
  // admin
  "Users": "用户", "Policies": "策略", "Limits": "限制", "Definitions": "定义", "Tags": "标签", "Add a user": "添加用户", "May use every virtual host": "可使用所有虚拟主机", "none: cannot log in with one": "无：不能用密码登录", "Delete the user {name}? Their connections are closed.": "删除用户 {name}？其连接会被关闭。",
  "administrator, monitoring, policymaker, management": "administrator、monitoring、policymaker、management", "Configure": "配置", "Write": "写", "Read": "读", "declare and delete": "声明和删除", "publish": "发布", "consume, get, purge": "消费、获取、清空", "Take these permissions away?": "收回这些权限？",
  "Set permissions": "设置权限", "Set topic permissions": "设置主题权限", "Permissions": "权限", "Topic permissions": "主题权限", "may use no virtual host": "不能使用任何虚拟主机", "none: every routing key is allowed": "无：允许所有路由键", "Password and tags": "密码与标签", "New password": "新密码", "empty: stays as it is": "留空则不变",
  "Add a virtual host": "添加虚拟主机", "Description": "描述", "Default queue type": "默认队列类型", "Delete the virtual host {name} with everything in it, {count} messages?": "删除虚拟主机 {name} 及其中的一切（{count} 条消息）？",
  "Add a policy": "添加策略", "Kind": "种类", "an operator policy limits what others ask for": "运维策略限制其他人的设置", "Pattern": "模式", "a regular expression on names": "匹配名称的正则表达式", "Applies to": "应用于", "Priority": "优先级", "the highest one that fits counts": "匹配者中最高的生效", "Definition (JSON)": "定义（JSON）", "Definition": "定义",
  "message-ttl, expires, max-length, max-length-bytes, overflow, dead-letter-exchange, dead-letter-routing-key, delivery-limit, alternate-exchange, max-age": "message-ttl、expires、max-length、max-length-bytes、overflow、dead-letter-exchange、dead-letter-routing-key、delivery-limit、alternate-exchange、max-age",
  "Delete the policy {name}? Queues and exchanges follow at once.": "删除策略 {name}？队列和交换机立即生效。", "Set a limit": "设置限制", "Of": "对象", "Limit": "限制", "At most": "最多", "There is no such limit for this.": "这个对象没有这种限制。", "Take the limit away?": "取消这个限制？",
  "Download definitions": "下载定义", "Upload definitions": "上传定义", "Download": "下载", "Upload": "上传", "File": "文件", "Into": "导入到", "uploaded: what is in the file is there now": "已上传：文件中的内容现已生效", "What is there and not in the file stays as it is.": "文件中没有的内容保持不变。",
  "Users, virtual hosts, permissions, policies, queues, exchanges and bindings as one file, as RabbitMQ reads and writes it. Messages are not in it.": "用户、虚拟主机、权限、策略、队列、交换机和绑定合为一个文件，格式与 RabbitMQ 相同；不包含消息。",
  // map, route, search
  "Moving lines carry messages now; a red queue has messages and no consumer.": "流动的线正在传输消息；红色的队列有消息但没有消费者。", "There are no queues and no bindings yet.": "还没有队列和绑定。", "{count} more queues are not drawn: choose a virtual host.": "还有 {count} 个队列没有画出：请选择虚拟主机。",
  "Where would this message go?": "这条消息会去哪里？", "Nothing is sent: the broker only says what it would do, and why.": "不会发送任何消息：服务器只说明它会怎么做，以及为什么。", "empty: the default exchange": "留空：默认交换机", "Ask": "查询", "It goes to": "它会到达", "It reaches no queue.": "它到不了任何队列。", "It has no bindings.": "它没有绑定。", "takes it: ": "接收：", "does not take it: ": "不接收：",
  "Search: {text}": "搜索：{text}", "Type a part of a name into the field at the top; / leads there.": "在上方输入名称的一部分；按 / 可跳到那里。", "nothing has this in its name": "没有名称包含它的对象",
};
